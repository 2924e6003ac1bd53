{{- define "piopiy.name" -}}
{{- printf "%s-piopiy" .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "piopiy.labels" -}}
app.kubernetes.io/name: piopiy
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- /* Called with a dict of root and component. */ -}}
{{- define "piopiy.selector" -}}
app.kubernetes.io/name: piopiy
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "piopiy.image" -}}
{{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}
{{- end -}}

{{- define "piopiy.secret" -}}
{{- .Values.secrets.existing | default (include "piopiy.name" .) -}}
{{- end -}}

{{- define "piopiy.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "piopiy.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}
