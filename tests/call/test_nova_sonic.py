"""What is Amazon Nova Sonic's own. `test_every_provider.py` has the rest."""

from __future__ import annotations

import pytest

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.testing import Caller
from tests.support.aws_sdk import provide_aws_sdk
from tests.support.realtime_providers import NovaCase

pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # pipecat's ready.wav


def test_the_first_generation_takes_no_texts() -> None:
    provide_aws_sdk()
    from pipecat.services.aws.nova_sonic.llm import AWSNovaSonicLLMService

    settings = AWSNovaSonicLLMService.Settings(model="amazon.nova-sonic-v1:0")
    call = NovaCase("Hello.").call(Caller().pause(1), service={"settings": settings})
    call.assert_ended(EndReason.ERROR)
    assert "AWSNovaSonicLLMService cannot be told yet what to say" in call.end_detail
