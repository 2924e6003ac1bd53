"""How a yes and a no are said in other languages than English, and what is neither. Without I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["BRIEF_WORDS", "YES_NO_WORDS", "YesNoWords"]

FIRST_WORDS = 4
"""A yes is one if it is among so many words at the beginning."""
BRIEF_WORDS = 7
"""A longer sentence that does not begin with a no, and has one in it, is about something else: it answers no question.
To a value that was read back it is a no."""


def _pattern(words: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{words})(?!\w)")


@dataclass(frozen=True, slots=True)
class YesNoWords:
    """The words of one language, as patterns of a text in small letters without marks."""

    yes: re.Pattern[str]
    no: re.Pattern[str]
    wrong: re.Pattern[str]
    """Calls something wrong that stands beside it, "the wrong number": a no only to a value that was read back."""
    polite_yes: re.Pattern[str]
    """A yes with a negation in it: "no problem", "why not"."""
    unclear: re.Pattern[str]
    """Has a negation in it or a yes, and is neither: "I don't know", "I did not understand", "maybe"."""
    taken_back: re.Pattern[str]
    """What makes a "no" unclear: the caller has taken it back, or denies that something is wrong."""

    def answer(self, plain: str, *, of_value: bool) -> bool | None:
        """Return yes, no, or None for neither.

        Args:
            plain: The words of an answer.
            of_value: Whether a value was read back before it.
        """
        plain = self.polite_yes.sub("okay", plain)
        if self.unclear.search(plain):
            return None
        first = " ".join(plain.split()[:FIRST_WORDS])
        if self.no.search(plain) or (of_value and self.wrong.search(plain)):
            brief = of_value or len(plain.split()) <= BRIEF_WORDS or self.no.search(first)
            return False if brief and not self.taken_back.search(plain) else None
        found = self.yes.search(plain)
        return True if found is not None and found.start() <= len(first) else None


YES_NO_WORDS = {
    "de": YesNoWords(
        yes=_pattern(
            r"(?<!ist )(?<!war )(?<!sind )ja+h?|jawohl|jo|jep|jap|jupp?|(?:machen sie|mach|tun sie) (?:das|es)"
            r"|genau|richtig|stimmt|korrekt|klar|natürlich|gerne?|sicher|selbstverständlich|okay|ok|passt"
            r"|einverstanden|exakt|bestimmt|mhm|unbedingt|absolut|perfekt|meinetwegen|freilich|alles gut|in ordnung"
            r"|auf jeden fall|von mir aus|so ist es|das geht|das wäre (?:toll|gut|schön|super|nett|prima)"
            r"|ich (?:glaube|denke|hoffe) schon|(?:^|^oh |^aber )doch"
        ),
        no=_pattern(r"nein|nee|nö|nicht|falsch|niemals|kein|keine|keinen|keinesfalls|keineswegs"),
        wrong=_pattern(r"falsche[nrsm]?"),
        polite_yes=_pattern(r"kein problem|warum nicht|nichts dagegen"),
        unclear=_pattern(
            r"weiß (?:ich )?(?:es |das )?(?:leider |auch )?nicht|keine ahnung|nicht (?:\w+ )?sicher|vielleicht|moment"
            r"|warten?|eventuell|wenn|falls|jein|ja oder nein|^na ja$|ja aber .*\bnicht|niemand"
            r"|(?:verstehe|höre) (?:ich )?(?:sie |das |dich |es )?(?:leider |gerade )?(?:nicht|kein\w*)"
            r"|(?:nicht|kein\w*) (?:so )?(?:ganz |gut |richtig )?(?:verstanden|gehört|hören|verstehen|mitbekommen)"
        ),
        taken_back=re.compile(
            r"\b(?:jawohl|(?:ja|nein) doch|doch ja|meine ja|sage ja|sagte ja|nein ja|nein genau|ja genau"
            r"|nein (?:okay|ok|gut|richtig|korrekt|(?:das )?(?:stimmt|passt))(?! (?:so |aber |das )*nicht\b)"
            r"|(?:ist|war|alles) (?:richtig|korrekt|okay))\b"
            r"|\bja$|\b(?:nicht|nichts|nichts ist) falsch\b"
        ),
    ),
    "fr": YesNoWords(
        yes=_pattern(
            r"oui|ouais|exact|exactement|correct|volontiers|parfait|parfaitement|absolument|évidemment|certainement"
            r"|entendu|okay|ok|d'accord|bien sûr|tout à fait|avec plaisir|je (?:crois|pense) que oui|mhm"
            r"|c'est (?:bien |tout à fait |très )?(?:ça|cela|juste|exact|bon|vrai|bien)|ça (?:marche|va|me va)"
            r"|^(?:(?:mais|ah|oh|si) )*si$"
        ),
        no=_pattern(r"non|nan|pas|jamais|aucune?|incorrecte?|c'est faux|est (?:fausse|faux)|^faux$"),
        wrong=_pattern(r"faux|fausse|mauvaise?"),
        polite_yes=_pattern(r"pourquoi pas|(?:pas|aucun) (?:de )?(?:problème|souci)|sans problème"),
        unclear=_pattern(
            r"sais pas|peut être|pas (?:bien |très |tout )?(?:compris|entendu|sûre?|certaine?)|aucune idée"
            r"|(?:comprends|entends) (?:pas|rien)|rien (?:compris|entendu)|attendez|une? (?:instant|minute|moment)"
            r"|dépend|(?<!\bsi )si (?!si\b)\w+|m'est égal|souviens (?:plus|pas)"
        ),
        taken_back=re.compile(r"\b(?:oui|pas (?:faux|incorrect))$"),
    ),
    "es": YesNoWords(
        yes=_pattern(
            r"sí|claro|correcto|exacto|exactamente|perfecto|vale|okay|ok|por supuesto|de acuerdo|así es|está bien"
            r"|eso es|dale|desde luego|cómo no|efectivamente|con (?:mucho )?gusto|me parece bien|es (?:cierto|verdad)"
            r"|^cierto|^si(?= (?:por favor|claro|gracias|señora?|correcto|si|vale|exacto)\b|$)|mhm"
        ),
        no=_pattern(
            r"no|nunca|jamás|tampoco|incorrecto|ni hablar|qué va|está (?:mal|equivocad[oa])|^(?:mal|falso)$|es falso"
        ),
        wrong=_pattern(r"mal|equivocad[oa]|erróne[oa]|incorrect[oa]|fals[oa]"),
        polite_yes=_pattern(r"(?:y )?por qué no|no hay (?:ningún )?problema|sin problemas?|no pasa nada"),
        unclear=_pattern(
            r"no (?:lo |la |me )?(?:sé|se|recuerdo|acuerdo)|no estoy segur[oa]|ni idea|quizás?|tal vez|a lo mejor"
            r"|no (?:le |te |lo |la )?(?:entiendo|entendí|oigo|oí|escucho|escuché|he (?:entendido|oído))|espere"
            r"|un momento|depende|no me importa|da igual|puede que|^si (?!por favor|claro|gracias|señora?|correcto|si"
            r"|vale|exacto)\w+"
        ),
        taken_back=re.compile(r"\b(?:sí|no está mal)$"),
    ),
    "it": YesNoWords(
        yes=_pattern(
            r"sì|(?:^|^ma )certo|certamente|esatto|esattamente|corretto|giusto|va bene|d'accordo|okay|ok|perfetto"
            r"|volentieri|naturalmente|assolutamente|ovviamente|con piacere|è così|(?:va )?benissimo|mhm"
            r"|^si(?= (?:grazie|certo|va bene|prego|si|esatto|per favore)\b|$)"
        ),
        no=_pattern(r"no|non|mai|nemmeno|neanche|per niente|è (?:sbagliat[oa]|errat[oa]|falso)|^sbagliato$"),
        wrong=_pattern(r"sbagliat[oa]|errat[oa]"),
        polite_yes=_pattern(r"perché no|nessun problema|non c'è (?:nessun )?problema|senza problemi"),
        unclear=_pattern(
            r"non (?:lo )?so|non (?:(?:ho|la|lo|ti|vi) )?(?:capito|sentito|capisco|sento)|non sono sicur[oa]"
            r"|non (?:mi )?ricordo|forse|magari|aspett[ia]|un (?:momento|attimo)|dipende|nessuna idea|non importa"
            r"|fa lo stesso|non saprei"
        ),
        taken_back=re.compile(r"\bsì$"),
    ),
    "pt": YesNoWords(
        yes=_pattern(
            r"sim|claro|certo|correct?o|exact?o|exatamente|perfeito|pode ser|com certeza|está bem|tá (?:bom|bem)|^tá$"
            r"|isso mesmo|^isso$|é isso|de acordo|okay|ok|positivo|combinado|com prazer|é verdade|mhm"
        ),
        no=_pattern(r"não|nao|nunca|jamais|nem|negativo|incorreto|de jeito nenhum|está errad[oa]|^errado$"),
        wrong=_pattern(r"errad[oa]"),
        polite_yes=_pattern(r"por ?que não|sem problemas?|não (?:há|tem) problema"),
        unclear=_pattern(
            r"não (?:me )?(?:sei|lembro)|não (?:o |a |te |lhe )?(?:entendi|ouvi|percebi|compreendi|entendo|ouço)"
            r"|não tenho (?:a )?certeza|talvez|espere|um (?:momento|instante|minuto)|depende|nem ideia|tanto faz"
            r"|não importa|quem sabe|^pois não$|^se \w+"
        ),
        taken_back=re.compile(r"\bsim$"),
    ),
    "nl": YesNoWords(
        yes=_pattern(
            r"ja|jawel|jazeker|jep|zeker|klopt|correct|juist|precies|inderdaad|prima|natuurlijk|uiteraard|graag"
            r"|akkoord|oké|okay|ok|(?:^|is |helemaal )goed|in orde|absoluut|perfect|doe maar|mij best|mhm"
            r"|ik (?:denk|geloof) (?:het wel|van wel)"
        ),
        no=_pattern(r"nee|neen|niet|geen|nooit|onjuist|is (?:fout|verkeerd)|^(?:fout|verkeerd)$"),
        wrong=_pattern(r"foute?|verkeerde?"),
        polite_yes=_pattern(r"geen probleem|waarom niet|geen bezwaar"),
        unclear=_pattern(
            r"weet (?:ik )?(?:het |dat )?niet|geen idee|niet zeker|misschien|wacht|moment|hangt ervan af|^als"
            r"|(?:versta|begrijp|hoor) (?:u |je |het |dat )?niet|niet (?:goed )?(?:verstaan|gehoord|begrepen)"
            r"|maakt (?:mij |me )?niet uit|ja maar .*\bniet"
        ),
        taken_back=re.compile(r"\b(?:ja|niet (?:fout|verkeerd))$"),
    ),
    "hi": YesNoWords(
        yes=_pattern(
            r"हाँ|हां|हा|जी|बिल्कुल|बिलकुल|सही|ठीक|ज़रूर|जरूर|haa?n|ji|bilkul|sahi|the?e?k|zaroor|jaroor|yes|okay|ok|correct"
            r"|right|mhm"
        ),
        no=_pattern(
            r"नहीं|नही|मत|nah(?:i|in|ee|een)|mat|no|nope|not|^(?:ना|na)$|(?:गलत|ग़लत|galat) (?:है|hai)"
            r"|^(?:गलत|ग़लत|galat)$"
        ),
        wrong=_pattern(r"गलत|ग़लत|galat|wrong"),
        polite_yes=_pattern(
            r"(?:कोई (?:बात|दिक्कत|समस्या)|क्यों) नहीं|(?:koi (?:baat|dikkat|problem)|kyon?) nah(?:i|in|ee|een)"
        ),
        unclear=_pattern(
            r"(?:पता|मालूम|याद|समझ\S*|सुना\S*) (?:में )?नहीं|नहीं (?:पता|मालूम|याद|समझ\S*|सुन\S*)"
            r"|(?:pata|malum|maloom|yaad|samajh|samjha|sunai|suna) (?:mein )?nah(?:i|in|ee|een)"
            r"|nah(?:i|in|ee|een) (?:pata|malum|maloom|yaad|sam\w+|sun\w*)|शायद|shayad|रुकिए|रुको|ruk\w*"
            r"|एक मिनट|ek minute|अगर|agar"
        ),
        taken_back=re.compile(r"\b(?:हाँ|हां|haa?n)$"),
    ),
}
"""By the code of a language. English is read as playbooks read it."""
