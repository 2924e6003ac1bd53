{{- define "piopiy.name" -}}
{{- printf "%s-piopiy" (.Release.Name | replace "." "-") | trunc 40 | trimSuffix "-" -}}
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

{{- /* A value that is kept: what the user gives, else what the release has already, else a new one. Called with a dict of
root, key (in the Secret) and given. */ -}}
{{- define "piopiy.kept" -}}
{{- $there := lookup "v1" "Secret" .root.Release.Namespace (include "piopiy.secret" .root) | default dict -}}
{{- $kept := get ($there.data | default dict) .key | b64dec -}}
{{- .given | default $kept | default (randAlphaNum 40) -}}
{{- end -}}

{{- /* The port of telephones: that of the gateway's settings, else gateway.sipPort, which is put into them. */ -}}
{{- define "piopiy.sipPort" -}}
{{- int (get (.Values.gateway.config.sip | default dict) "port" | default .Values.gateway.sipPort) -}}
{{- end -}}

{{- /* What this release's subjects in NATS begin with: another release, or the same one in another namespace, has others. */ -}}
{{- define "piopiy.subject" -}}
{{- $own := printf "%s_%s" .Release.Namespace (.Release.Name | replace "." "_") -}}
{{- if gt (len $own) 64 }}{{- $own = printf "%s_%s" ($own | trunc 50) ($own | sha256sum | trunc 12) }}{{- end -}}
{{- .Values.gateway.cluster.subject | default $own -}}
{{- end -}}

{{- /* [cluster] of a gateway, as JSON with the names of variables in it. */ -}}
{{- define "piopiy.cluster" -}}
{{- $cluster := .Values.gateway.cluster -}}
{{- $url := printf "ws://$(NODE_ADDRESS):%d" (int .Values.gateway.port) -}}
{{- $found := dict "servers" $cluster.servers "name" "$(POD_NAME)" "url" $url "subject" (include "piopiy.subject" .) -}}
{{- with $cluster.pages }}{{- $_ := set $found "pages" . }}{{- end -}}
{{- if $cluster.tokenSecret }}{{- $_ := set $found "token" "$(NATS_TOKEN)" }}{{- end -}}
{{- if $cluster.userSecret }}{{- $_ := merge $found (dict "user" "$(NATS_USER)" "password" "$(NATS_PASSWORD)") }}{{- end -}}
{{- if $cluster.credentialsSecret }}{{- $_ := set $found "credentials" "/etc/nats/nats.creds" }}{{- end -}}
{{- toJson $found -}}
{{- end -}}
