"""What callers say beside a value: that they have not heard, do not want to say it, or ask something. Without I/O."""

from __future__ import annotations

import re

from piopiy_pipeline.services.playbook.sentence_kinds import is_question

__all__ = [
    "asks",
    "asks_to_repeat",
    "counts",
    "refuses",
    "restricts",
    "self_repair",
    "sentence_words",
    "split_at_remark",
    "starts_over",
    "waits",
]

_ASKED = {
    "en": r"(?:e ?mail|phone|telephone|mobile|cell|address|code|pin|number|account)\w*",
    "fr": r"(?:adresse|e ?mail|mail|courriel|téléphone|numéro|code)",
    "es": r"(?:correo|e ?mail|teléfono|número|dirección|código|móvil)",
    "it": r"(?:e ?mail|mail|indirizzo|telefono|numero|codice|cellulare)",
    "pt": r"(?:e ?mail|telefone|número|endereço|código|celular|telemóvel)",
    "nl": r"(?:e ?mail|mail|telefoon|nummer|adres|code)\w*",
}
"""What callers say that they do not have."""


def _pattern(words: str, alone: str = "(?!)") -> re.Pattern[str]:
    """Return a pattern of words anywhere, and of others that are all that is said."""
    return re.compile(rf"(?<!\w)(?:{words})(?!\w)|^(?:{alone})$", re.IGNORECASE)


_REPEAT = {
    "en": _pattern(
        r"what was that|what did you say|say (?:that|it) again|(?:can|could) you repeat|repeat (?:that|it|please)"
        r"|pardon|come again|i (?:didn't|did not|can't|cannot) (?:hear|catch|get|understand) (?:that|you|it)"
        r"|excuse me",
        alone=r"what|sorry|huh|repeat",
    ),
    "de": _pattern(
        r"wie bitte|was haben sie gesagt|noch ?mal bitte|können sie (?:das )?wiederholen|wiederholen sie"
        r"|habe? (?:ich )?(?:sie |das |es )?(?:leider |akustisch )?nicht (?:ganz |richtig |gut )?(?:verstanden|gehört)"
        r"|bitte wiederholen",
        alone=r"was|wie|hä",
    ),
    "fr": _pattern(
        r"(?:pouvez vous|vous pouvez) répéter|répétez|qu'(?:est ce que vous avez|avez vous) dit|vous avez dit quoi"
        r"|ai pas (?:bien )?(?:compris|entendu)|(?:je ne |j')?vous entends pas|vous dites",
        alone=r"pardon|comment|quoi|hein",
    ),
    "es": _pattern(
        r"(?:puede|podría|puedes) repetir\w*|repít[ae](?:lo|me)|repita|qué (?:ha dicho|dijo|dice)|cómo dice"
        r"|no (?:le |lo |la |te )?(?:he entendido|he oído|entiendo|entendí|oigo|oí|escucho|escuché)",
        alone=r"perdón|perdone|cómo|qué|mande",
    ),
    "it": _pattern(
        r"(?:può|puoi|potrebbe) ripetere|ripeta|(?:che )?cosa ha detto|come (?:scusi|dice|ha detto)"
        r"|non (?:ho (?:capito|sentito)|(?:la |ti )?(?:sento|capisco))",
        alone=r"come|scusi|prego|cosa|eh",
    ),
    "pt": _pattern(
        r"(?:pode|poderia) repetir|repita|o que (?:é que )?(?:você )?disse|como (?:disse|assim)"
        r"|não (?:o |a |te )?(?:entendi|ouvi|percebi|compreendi|entendo|ouço)",
        alone=r"como|o quê|quê|perdão|desculpe|oi",
    ),
    "nl": _pattern(
        r"wat (?:zei|zegt) (?:u|je)|kunt? (?:u|je) (?:dat )?(?:nog eens )?herhalen|wilt u (?:dat )?herhalen"
        r"|(?:heb|versta|hoor|begrijp) (?:ik )?(?:u |je |dat )?niet(?: goed)?(?: (?:verstaan|gehoord|begrepen))?",
        alone=r"wat|pardon|sorry|hè|wablief",
    ),
}
_REFUSES = {
    "en": _pattern(
        r"never ?mind|forget (?:it|about it|that)|i (?:don't|do not) (?:want to|wanna)"
        r"|i (?:don't|do not) have (?:one|it|that|any(?! (?:time|plans|appointments?|problems?|questions?)))"
        rf"|i (?:(?:don't|do not) have an?|have no) {_ASKED['en']}"
        r"|i'd rather not|i would rather not|i won't (?:tell|say|give)|none of your business|skip (?:it|that|this)"
        r"|i (?:give up|changed my mind)|cancel (?:it|that|this)|stop asking|no idea|i (?:don't|do not) know",
        alone=r"cancel|none|nothing",
    ),
    "de": _pattern(
        r"vergessen sie (?:es|das)|vergiss (?:es|das)|lassen (?:sie|wir) (?:es|das)"
        r"|(?:ich )?(?:will|möchte) (?:ich )?(?:ihnen )?(?:das |die |den )?(?:lieber |ihnen )?nicht (?:sagen"
        r"|angeben|nennen|geben|verraten)|(?:das |die |den )?(?:sage|nenne|gebe) ich (?:ihnen )?(?:lieber )?nicht"
        r"|ich (?:habe|hab) (?:gar |leider )?kein(?:en?|s)?(?! (?:zeit|termine?|probleme?|fragen?|eile))"
        r"|das geht sie nichts an|überspringen|ich gebe auf|abbrechen|egal|keine ahnung"
        r"|(?:ich )?weiß (?:ich )?(?:es |das )?nicht",
        alone=r"keine|keiner|keins|gar keine|nichts",
    ),
    "fr": _pattern(
        r"laissez? tomber|oubliez?(?: ça)?|veux pas (?:\w+ )?(?:dire|donner)|préfère (?:pas|ne pas|ne rien)"
        rf"|n'en ai (?:pas|aucune?)|n'ai (?:pas|aucune?) (?:d'|de |une? )?{_ASKED['fr']}|(?:sais|s'ais) pas|aucune idée"
        r"|vous regarde pas|j'abandonne|annulez|on annule",
        alone=r"annuler|je n'ai pas|j'ai pas",
    ),
    "es": _pattern(
        r"déj[ae]lo|olvíd[ae]l[oa]|no (?:se )?(?:l[oa] )?(?:quiero|voy a) (?:decir|dar)\w*|prefiero no"
        rf"|no tengo (?:ningun[oa]|{_ASKED['es']})|no (?:lo |la )?sé|ni idea|no es asunto suyo|me rindo|cancel[ae]",
        alone=r"no (?:l[oa] )?tengo|cancelar|no quiero",
    ),
    "it": _pattern(
        r"lasci(?:a|amo)? (?:perdere|stare)|non (?:gliel[oa] |l[oa] )?(?:voglio|vorrei) (?:dir|dar)\w*"
        r"|preferisco (?:di )?non?"
        rf"|non (?:ce )?(?:l'ho|ne ho)|non ho (?:un'? ?|una |nessun[ao']? ?)?{_ASKED['it']}|non (?:lo so|saprei)"
        r"|nessuna idea|non sono affari suoi|mi arrendo|annull[ai]",
        alone=r"non so|non voglio",
    ),
    "pt": _pattern(
        r"deix[ae] (?:isso|(?:pra|para) lá)|esqueç[ae]|não (?:o |a |lhe )?(?:quero|vou) (?:dizer|dar|informar)"
        r"|prefiro não"
        rf"|não tenho (?:nenhuma?|{_ASKED['pt']})|não (?:o )?sei|(?:nem|não faço) ideia|não é da sua conta|desisto"
        r"|cancel[ae]",
        alone=r"não tenho|cancelar|não quero",
    ),
    "nl": _pattern(
        r"laat (?:maar|zitten)|vergeet (?:het|dat)|(?:wil|zeg|geef) ik (?:u |je )?(?:dat |die |het )?(?:liever )?niet"
        r"|ik (?:wil|zeg|geef) (?:dat |die |het |u )*(?:liever )?niet|liever niet|ik heb er geen|heb ik niet"
        rf"|ik heb geen {_ASKED['nl']}|geen idee|(?:ik weet|weet ik) (?:het |dat )?niet|gaat (?:u|je) niets aan"
        r"|ik geef het op|annuleer",
        alone=r"annuleren",
    ),
}
_MOMENT = (
    r"(?:moment|second|sec|minute|augenblick|sekunde|instant|seconde|momento|momentito|segundo|segundinho|minuto"
    r"|attimo|secondo|momentje|ogenblik(?:je)?)"
)
_WAITS = re.compile(
    r"(?:(?:um+|uh+|oh|okay|ok|yes|yeah|well|so|sorry|just|give me|please|ähm?|ja|bitte|nur|euh|oui|eh|sí|sì|sim"
    r"|solo|só|alleen) )*"
    rf"(?:(?:a|an|1|one|einen|eine|ein|kleinen|une?|um|een) {_MOMENT}|moment(?:je)?|hold on|hang on|bear with me|wait"
    r"|warten sie|warte mal|let me (?:see|think|check|look|have a look)|(?:i have|i need) to (?:look|check)"
    r"|da muss ich nachsehen|attendez|patientez|ne quittez pas|je (?:regarde|cherche)|espere|déjeme (?:ver|mirar)"
    r"|aspetti|mi faccia vedere|deixe me ver|só um momento|wacht (?:even|u)|even kijken)"
    rf"(?: (?:a|one|1|einen|une?|um|een) {_MOMENT})?"
    r"(?: (?:please|bitte|mal|sorry|i'm looking|s'il vous plaît|por favor|per favore|alstublieft|graag))*"
)
_REPAIR = re.compile(
    r"(?:[\s,.;…-]|\b(?:oh|um|uh|äh|ähm|euh|ehm|eh)\b)+(?:no,? (?:wait|sorry|no|hang on)|(?:oops|sorry|wait),? no|wait"
    r"|sorry|oops|i mean|i meant|scratch that|strike that|correction|make that|or rather"
    r"|nein,? (?:moment|quatsch|sorry|warte|entschuldigung)|moment,? nein|quatsch|ich meine?|korrektur|entschuldigung"
    r"|non,? (?:attendez|attends|pardon|excusez[ -]moi|désolée?|non)|(?:pardon|attendez),? non|pardon|excusez[ -]moi"
    r"|je (?:voulais|veux) dire|enfin non|ou plutôt"
    r"|no,? (?:espere|perdón|perdone|disculpe|me equivoqué)|(?:perdón|espere),? no|perdón|perdone|disculpe"
    r"|qui(?:se|ero) decir|mejor dicho|me equivoqué"
    r"|no,? (?:aspetti|(?:mi )?scusi|scusa|mi sbaglio)|(?:scusi|aspetti),? no|(?:mi )?scusi|volevo dire|mi sbaglio|anzi"
    r"|não,? (?:espere?|desculpe|perdão)|(?:desculpe|espere),? não|desculpe|perdão|qu(?:ero|is) dizer|aliás|ou melhor"
    r"|nee,? (?:wacht|sorry|pardon|excuus)|(?:sorry|wacht),? nee|ik bedoel(?:de)?|correctie|of liever)"
    r"\b[\s,.;:…-]+",
    re.IGNORECASE,
)
"""What stands between what a speaker takes back and what takes its place (Levelt's editing term)."""
_NO_MORE = re.compile(
    r"(?:(?:no|nope|nah|nein|nee|non|nan|não|um+|uh+|oh|so|well|äh|ähm|euh|ehm|eh)\b\W*)*", re.IGNORECASE
)
"""What is before a correction of an answer that was given before."""
_RESTRICTS = re.compile(
    r"\b(?:but|except|only|aber|außer|nur|sondern|mais|sauf|pero|excepto|ma|tranne|mas|exceto|maar|behalve) \w+"
)
_RESTART = _pattern(
    r"start (?:over|again)|from the (?:start|beginning)|von vorne?|nochmal neu|von neuem|depuis le début"
    r"|recommen(?:ce|cer|çons)|desde el principio|(?:empezar|empiezo) de nuevo|da capo|dall'inizio|ricominci(?:o|amo)"
    r"|do (?:início|começo)|começar de novo|opnieuw beginnen|vanaf het begin"
)
_NEXT_CLAUSE = re.compile(
    r"\s*[,.;:!?…–-]+\s*|\s+(?=(?:but|maybe|perhaps|it's|aber|vielleicht|mais|peut-être|pero|quizás|ma|forse|mas|talvez"
    r"|maar|misschien)\b)",
    re.IGNORECASE,
)
_QUESTIONS = {
    "de": re.compile(
        r"^(?:und |aber |ähm? )*(?:was|wer|wie|wo|wann|warum|wieso|welche\w*|haben sie|gibt es|kann ich|ist (?:das|es)"
        r"|sind sie)\b"
    ),
    "fr": re.compile(
        r"^(?:et |mais |euh )*(?:qui|quoi|quand|comment|pourquoi|où|combien|quel\w*|est ce|avez vous|êtes vous)\b"
    ),
    "es": re.compile(
        r"^(?:y |pero )*(?:qué|quién|cuándo|cómo|dónde|cuánto|por qué|para qué|tienen?|hay|es el|es la|están)\b"
    ),
    "it": re.compile(
        r"^(?:e |ma |ehm )*(?:che|cosa|chi|quando|come|perché|dove|quanto|qual\w*|avete|c'è|siete|mi sente)\b"
    ),
    "pt": re.compile(
        r"^(?:e |mas )*(?:o que|que|quem|quando|como|por ?qu[eê]|para que|onde|quanto|qual|têm|tem|há|é o|é a|vocês)\b"
    ),
    "nl": re.compile(
        r"^(?:en |maar |eh )*(?:wat|wie|hoe|wanneer|waar\w*|welke?|heeft u|hebben jullie|bent u|is (?:er|het|dat)"
        r"|kan ik)\b"
    ),
}

_SENTENCE = {
    language: frozenset(words.split())
    for language, words in {
        "en": "i i'm i've i'd i'll you you're you've you'll your he he's him she she's we we're we've we'd us our "
        "they they're them their me my mine it it's that that's this these those there's there what what's "
        "where who who's why how which when is isn't are aren't was wasn't were weren't has have haven't "
        "had can't cannot could couldn't don't doesn't didn't won't wouldn't would should nobody somebody "
        "someone anybody anyone something anything nothing everything hello hi hey goodbye bye thank thanks "
        "please sorry pardon",
        "de": "ich du er sie es wir mich mir dich dir ihn ihm uns euch mein meine meinen meiner meinem ihr ihre "
        "ihren das was wer wie wo wann warum wieso welche bin bist ist sind war waren habe hab hat haben "
        "hatte kann können könnte will wollen möchte muss müssen soll sollte wird würde nicht kein keine "
        "nichts niemand jemand etwas hallo tschüss danke bitte guten entschuldigung ein eine einen einem "
        "einer",
        "fr": "je j' c' n' m' qu' tu il elle on nous vous ils elles moi mon mes votre vos ce ça cela qui que quoi "
        "comment pourquoi quel quelle est suis sont était ai avez avons ont peux peut pouvez voudrais veux "
        "pas rien personne quelqu'un bonjour bonsoir merci pardon allô un une",
        "es": "yo usted él ella nosotros me te se mi mis qué quién cómo cuándo dónde cuál soy es son está estoy "
        "están he ha han hay tengo tiene puedo puede quiero quisiera necesito nada nadie alguien hola "
        "gracias perdón adiós un una",
        "it": "io lui lei noi voi mi ti ci vi mio mia che chi cosa come perché quando quanto qual è sono era ho ha "
        "abbiamo avete hanno sto sta posso può vorrei voglio devo non niente nessuno qualcuno ciao salve buongiorno "
        "buonasera grazie prego scusi pronto un una",
        "pt": "eu você vocês ele ela nós eles me meu minha que quem como porquê quando quanto qual é sou são está "
        "estou estão foi tenho tem temos posso pode quero queria gostaria preciso não nada ninguém alguém olá oi "
        "obrigado obrigada bom boa desculpe tchau um uma",
        "nl": "ik je jij u hij zij ze wij we jullie mij me mijn uw dat dit wat wie hoe waarom wanneer is ben bent was "
        "waren heb heeft hebben had kan kunt kunnen wil wilt moet zou niet geen niets niemand iemand iets hallo dag "
        "goedemorgen goedemiddag bedankt dank alstublieft sorry een",
    }.items()
}
"""Pronouns, auxiliary verbs, question words, greetings: sentences have them, and names of places and people do not."""
_PERSON = re.compile(
    r"\b(?:operator|agent|human|representative|real person|manager|supervisor"
    r"|(?:customer|technical) (?:service|support)|mitarbeiter\w*|kundendienst|kundenservice|conseill\w+|asesor\w*"
    r"|operat(?:ore|rice)|atendente|medewerker\w*)\b"
)
"""Whom callers ask for who do not want to talk to a bot."""
_COUNTS = re.compile(
    r"\b\d+(?:st|nd|rd|th)? (?:past|o'clock|am|pm|uhr|mal|fois|veces|times?"
    r"|(?:minute|hour|day|week|month|year|stunde|tag|woche|monat|jahr|heure|jour|semaine|an|minuto|hora|semana|año)n?e?s?"
    r"|mois|meses|días|people|persons?|personen|personnes|personas|percent|prozent|euros?|dollars?|pounds?"
    r"|volt[ae]|or[ae]|minut[oi]|giorn[oi]|settiman[ae]|mes[ei]|ann[oi]|persone|figli\w*|vez(?:es)?|dias?|horas?|semanas?|mês|anos?"
    r"|pessoas?|filhos?|keer|uur|minuten|uren|dag(?:en)?|weken|maand(?:en)?|jaar|kinderen|hijos?|enfants?|ans)\b",
    re.IGNORECASE,
)


def asks_to_repeat(plain: str, code: str) -> bool:
    """Return whether a caller wants to hear the last question again. `plain`: the words, in small letters."""
    return (found := _REPEAT.get(code)) is not None and found.search(plain) is not None


def refuses(plain: str, code: str) -> bool:
    """Return whether a caller does not want to give the value, or does not have it."""
    return (found := _REFUSES.get(code)) is not None and found.search(plain) is not None


def split_at_remark(text: str, code: str) -> tuple[str, str]:
    """Return the last of such remarks in a text, or a wish to begin anew, and what is said behind it in a clause of its
    own: "excuse me", "it's 4157". Both are empty if there is none.

    Args:
        text: What was said, with its marks.
        code: The code of its language.
    """
    text = text.replace("’", "'").strip()
    patterns = [found for found in (_REPEAT.get(code), _REFUSES.get(code), _RESTART) if found is not None]
    found = [match for pattern in patterns for match in pattern.finditer(text)]
    if not found:
        return "", ""
    last = max(found, key=re.Match.end)
    clause = _NEXT_CLAUSE.match(text, last.end())
    return last[0], text[clause.end() :].strip() if clause is not None else ""


def starts_over(plain: str) -> bool:
    """Return whether a caller wants to begin anew."""
    return _RESTART.search(plain) is not None


def restricts(plain: str) -> bool:
    """Return whether an agreement has a condition, or a change of what is agreed to: "yes, but a day later"."""
    return _RESTRICTS.search(plain) is not None


def waits(plain: str) -> bool:
    """Return whether a caller says nothing but that they need a moment."""
    return _WAITS.fullmatch(plain) is not None


def sentence_words(text: str, code: str) -> int:
    """Return how many words of a text are such as sentences have, and names of places and people do not.

    Args:
        text: What was said, without what leads to the value ("my address is").
        code: The code of its language. Without words for it there are none.
    """
    tokens = re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)*", text.replace("’", "'"))
    words = [token.lower() for token in tokens if not (len(token) == 2 and token.isupper())]  # "Portland, ME"
    known = _SENTENCE.get(code, frozenset())
    said = sum(word in known or f"{word.partition(chr(39))[0]}'" in known for word in words)  # "j'appelle"
    return said + bool(_PERSON.search(" ".join(words)))


def counts(text: str) -> bool:
    """Return whether a number of a text counts something: "20 minutes". Numbers are in digits."""
    return _COUNTS.search(text) is not None


def self_repair(text: str) -> tuple[str, str] | None:
    """Return what a caller takes back within one answer, and what they say in its place: "five, no wait, nine".

    Returns:
        None if they take nothing back, or only what they have said in an answer before this one.
    """
    found = list(_REPAIR.finditer(text))
    if not found:
        return None
    before, after = text[: found[-1].start()].strip(" ,.;…-"), text[found[-1].end() :].strip(" ,.;…-")
    return (before, after) if after and not _NO_MORE.fullmatch(before) else None


def asks(text: str, plain: str, code: str, *, in_words: bool = False) -> bool:
    """Return whether a caller asks something.

    Args:
        text: What was said, with its marks.
        plain: Its words, in small letters.
        code: The code of its language.
        in_words: Whether the words have to say so, too: a "?" alone is often only a rising voice.
    """
    pattern = _QUESTIONS.get(code)
    worded = is_question(plain) or (pattern is not None and pattern.match(plain) is not None)
    has_mark = text.rstrip().endswith("?")
    return (worded and has_mark) if in_words else (worded or has_mark)
