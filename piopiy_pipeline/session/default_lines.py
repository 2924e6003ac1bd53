"""What a bot says by itself when its author has not said how: by language."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.llm_service import LLMService
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService

__all__ = ["Phrases", "language_of", "phrases_in"]


@dataclass(frozen=True, slots=True)
class Phrases:
    """The phrases of one language."""

    filler: str
    """While the caller waits for an answer or a tool."""
    drained: str
    """Before the agent ends, to a caller who is still there."""
    ask_again: str
    """When the caller was heard to speak and not a word was understood."""
    idle: tuple[str, str, str]
    """To a caller who says nothing: two questions, and a goodbye."""


_PHRASES = {
    "en": Phrases(
        "One moment, please.",
        "I am sorry, I have to end our call now. Please call again in a moment. Goodbye.",
        "I am sorry, I did not hear that. Could you say it again, please?",
        (
            "Are you still there?",
            "Hello? Can you hear me?",
            "I cannot hear you, so I will hang up now. Goodbye.",
        ),
    ),
    "de": Phrases(
        "Einen Moment, bitte.",
        "Es tut mir leid, ich muss unser Gespräch jetzt beenden. Bitte rufen Sie gleich wieder an. Auf Wiederhören.",
        "Das habe ich leider nicht gehört. Können Sie es bitte wiederholen?",
        (
            "Sind Sie noch da?",
            "Hallo? Können Sie mich hören?",
            "Ich höre Sie nicht und lege jetzt auf. Auf Wiederhören.",
        ),
    ),
    "fr": Phrases(
        "Un instant, s'il vous plaît.",
        "Je suis désolé, je dois mettre fin à notre appel. Veuillez rappeler dans un instant. Au revoir.",
        "Je suis désolé, je n'ai pas entendu. Pouvez-vous répéter, s'il vous plaît ?",
        (
            "Êtes-vous toujours là ?",
            "Allô ? M'entendez-vous ?",
            "Je ne vous entends pas, je vais raccrocher. Au revoir.",
        ),
    ),
    "es": Phrases(
        "Un momento, por favor.",
        "Lo siento, tengo que terminar la llamada. Vuelva a llamar en un momento, por favor. Adiós.",
        "Lo siento, no le he oído. ¿Puede repetirlo, por favor?",
        ("¿Sigue ahí?", "¿Hola? ¿Me oye?", "No le oigo, así que voy a colgar. Adiós."),
    ),
    "it": Phrases(
        "Un momento, per favore.",
        "Mi dispiace, devo terminare la chiamata. Richiami tra un momento, per favore. Arrivederci.",
        "Mi dispiace, non ho sentito. Può ripetere, per favore?",
        ("È ancora lì?", "Pronto? Mi sente?", "Non la sento, quindi riattacco. Arrivederci."),
    ),
    "pt": Phrases(
        "Um momento, por favor.",
        "Desculpe, preciso terminar a nossa chamada. Ligue novamente daqui a pouco, por favor. Até logo.",
        "Desculpe, não ouvi. Pode repetir, por favor?",
        ("Ainda está aí?", "Alô? Está me ouvindo?", "Não consigo ouvir, então vou desligar. Até logo."),
    ),
    "nl": Phrases(
        "Een ogenblik, alstublieft.",
        "Het spijt me, ik moet ons gesprek nu beëindigen. Bel over een ogenblik nog eens, alstublieft. Tot ziens.",
        "Sorry, dat heb ik niet gehoord. Kunt u het herhalen, alstublieft?",
        ("Bent u er nog?", "Hallo? Hoort u mij?", "Ik hoor u niet en hang nu op. Tot ziens."),
    ),
    "hi": Phrases(
        "एक क्षण रुकिए।",
        "क्षमा कीजिए, मुझे अभी यह कॉल समाप्त करनी होगी। कृपया थोड़ी देर में फिर कॉल कीजिए। नमस्ते।",
        "क्षमा कीजिए, मैं सुन नहीं पाया। कृपया दोबारा कहिए।",
        (
            "क्या आप लाइन पर हैं?",
            "हैलो? क्या आप मुझे सुन सकते हैं?",
            "मुझे आपकी आवाज़ नहीं आ रही है, इसलिए मैं फ़ोन रख रहा हूँ। नमस्ते।",
        ),
    ),
}


def phrases_in(language: str) -> Phrases:
    """Return the phrases of a language such as ``de`` or ``de-AT``; of one that is not known, those in English."""
    return _PHRASES.get(language.lower().replace("_", "-").partition("-")[0], _PHRASES["en"])


def language_of(services: Iterable[FrameProcessor]) -> str:
    """Return the language that the voice speaks, else the one that the STT hears, else that of a speech-to-speech model
    whose service was told one, else ``en``.
    """
    languages: dict[type, str] = {}
    for service in services:
        for kind in (TTSService, STTService, LLMService):
            language = _language_of(service) if isinstance(service, kind) else None
            if isinstance(language, str) and language:  # pipecat's Language is one, too
                languages.setdefault(kind, str(language))
    return languages.get(TTSService) or languages.get(STTService) or languages.get(LLMService) or "en"


def _language_of(service: FrameProcessor) -> Any:
    settings: Any = getattr(service, "settings", None)
    spoken = getattr(settings, "language", None)  # of an STT, a TTS, and Gemini Live
    if isinstance(spoken, str) and spoken:
        return spoken
    properties = getattr(settings, "session_properties", None)  # of OpenAI's and those like it
    heard = getattr(getattr(properties, "audio", None), "input", None)
    return getattr(getattr(heard, "transcription", None), "language", None)
