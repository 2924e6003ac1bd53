"""What is Amazon Nova Sonic's own. `test_every_provider.py` has the rest."""

from __future__ import annotations

import pytest
from pipecat.processors.aggregators.llm_context import LLMContext

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.testing import Caller, NovaSonicServer, Replies, Transcripts, Voice
from tests.support.aws_sdk import provide_aws_sdk
from tests.support.difficult_callers import NO_WAIT
from tests.support.realtime_calls import GREETING, LONG
from tests.support.realtime_providers import NovaCase
from tests.support.virtual import PEOPLE, YES, texts

pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # pipecat's ready.wav


def test_the_first_generation_takes_no_texts() -> None:
    provide_aws_sdk()
    from pipecat.services.aws.nova_sonic.llm import AWSNovaSonicLLMService

    settings = AWSNovaSonicLLMService.Settings(model="amazon.nova-sonic-v1:0")
    call = NovaCase("Hello.").call(Caller().pause(1), service={"settings": settings})
    call.assert_ended(EndReason.ERROR)
    assert "AWSNovaSonicLLMService cannot be told yet what to say" in call.end_detail


def test_the_session_that_follows_is_told_what_was_heard() -> None:
    """pipecat's service changes to it while the bot speaks; here at each answer, and not after 6 minutes."""

    def answer(context: LLMContext) -> str:
        said = [one for one in context.get_messages() if isinstance(one, dict) and one["role"] == "user"]
        return LONG if said[-1]["content"] == "a table please" else "Bye."

    provide_aws_sdk()
    from pipecat.services.aws.nova_sonic.session_continuation import SessionContinuationParams

    ears = Transcripts(texts=["a table please", "no wait", "yes"])
    case = NovaCase()
    case.server = NovaSonicServer(Replies(otherwise=answer), ears=ears, voice=Voice(speed=4.0))
    continuation = SessionContinuationParams(transition_threshold_seconds=0)
    caller = Caller().say(PEOPLE).interrupt(NO_WAIT, after=1.5).say(YES)
    call = case.call(caller, service={"session_continuation": continuation})
    assert not call.of("error"), call.timeline()
    heard = texts(call, "bot")[1]
    assert LONG.startswith(heard)
    assert len(heard) < len(LONG)
    begun_so = [
        [one["content"] for one in session.conversation()]
        for session in case.server.sessions
        if session.hears
    ]
    while_said, later = begun_so[1], begun_so[2]
    assert while_said[:5] == ["Be brief.", "[The call has begun.]", GREETING, "a table please", LONG]
    assert any(text.endswith(f"no more than this: {heard}]") for text in while_said), while_said
    assert later[:7] == [*while_said[:4], heard, "no wait", "Bye."]
