"""One bot, several languages: the caller's number suggests one, and a key changes it during the call.

Each language has its own voice, in one list: `Action(tts=[english, german, french])` is a set of services
of which one is active, and `switch_service` changes to another. The model is told of the change in
the conversation, so that it goes on in that language.

    piopiy dev examples/multilingual.py        # press 1, 2 or 3
"""

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

from pipecat.services.tts_service import TTSService

from piopiy.agent import Agent
from piopiy.voice_agent import VoiceAgent
from piopiy_pipeline.services.providers import build, chosen, prepare
from piopiy_pipeline.services.tts.espeak import EspeakTTSService

PLAYBOOK = Path(__file__).with_name("opening_hours.yaml")


@dataclass(frozen=True)
class Language:
    """What the bot needs to know of a language."""

    name: str
    country: str
    voice: str
    greeting: str
    changed: str


LANGUAGES = {
    "1": Language("English", "+1", "en-us", "Good day. How can I help you?", "We speak English now."),
    "2": Language(
        "German", "+49", "de", "Guten Tag. Was kann ich für Sie tun?", "Wir sprechen jetzt Deutsch."
    ),
    "3": Language("French", "+33", "fr", "Bonjour. Que puis-je faire pour vous ?", "Nous parlons français."),
}
MENU = "For English press one. Für Deutsch drücken Sie die zwei. Pour le français, tapez trois."


def language_of(number: str | None) -> str:
    """The key of the language that is spoken where this number is from; English if nobody knows."""
    return next((key for key, one in LANGUAGES.items() if (number or "").startswith(one.country)), "1")


async def on_new_session(call_id: str, from_number: str | None) -> None:
    key = language_of(from_number)
    voices: dict[str, TTSService] = {
        each: EspeakTTSService(voice=language.voice) for each, language in LANGUAGES.items()
    }
    voice_agent = VoiceAgent(
        instructions=f"You answer questions of callers of a restaurant. Answer briefly, in {LANGUAGES[key].name}, "
        "until you are told that the caller has chosen another language.",
        greeting=f"{LANGUAGES[key].greeting} {MENU}",
    )

    async def on_key(digits: str) -> None:
        if digits not in LANGUAGES:
            return
        language = LANGUAGES[digits]
        await voice_agent.switch_service(voices[digits])
        assert voice_agent.context is not None
        note = f"The caller has chosen {language.name}. Answer in {language.name} from now on."
        voice_agent.context.add_message({"role": "system", "content": note})
        print(f"{call_id}: {language.name}", flush=True)
        await voice_agent.say(language.changed)

    voice_agent.on("dtmf", on_key)
    await voice_agent.Action(
        stt=build("stt", chosen("stt"), playbook=PLAYBOOK),
        llm=build("llm", chosen("llm"), playbook=PLAYBOOK),
        tts=[voices[key], *(voice for each, voice in voices.items() if each != key)],  # the first is active
    )
    await voice_agent.start()


async def main() -> None:
    await prepare(("stt",), playbook=PLAYBOOK)  # so that the first caller does not wait for the models
    agent = Agent(
        agent_id=os.getenv("AGENT_ID", "multilingual"),
        agent_token=os.getenv("AGENT_TOKEN", ""),
        create_session=on_new_session,
    )
    await agent.connect()


if __name__ == "__main__":
    asyncio.run(main())
