"""The self-checks name what an upgrade of a package has changed."""

from __future__ import annotations

import pytest

from piopiy_pipeline.compat import CompatError, check_attributes, check_parameters


class Base:
    def __init__(self) -> None:
        self._made = 1


class Thing(Base):
    def act(self, who: str, *, when: float) -> None:
        """Do nothing."""


def anything(**settings: str) -> None:
    """Do nothing."""


def test_attributes_may_be_methods_or_made_by_a_constructor() -> None:
    check_attributes(
        "pytest", [(Thing, "act"), (Thing, "_made"), (pytest, "raises")], written_for=">=8", used_in=__name__
    )


def test_all_that_is_missing_is_named_with_the_version_and_what_to_install() -> None:
    needed = [(Thing, "act"), (Thing, "_gone"), (pytest, "_lost")]
    with pytest.raises(
        CompatError,
        match=rf"^pytest {pytest.__version__}: Thing has no _gone, pytest has no _lost\..*pytest>=8,<10",
    ):
        check_attributes("pytest", needed, written_for=">=8,<10", used_in=__name__)


def test_a_package_without_metadata_is_named_as_well() -> None:
    with pytest.raises(CompatError, match=r"no-such-package \(unknown version\): Thing has no _gone"):
        check_attributes("no-such-package", [(Thing, "_gone")], written_for=">=1", used_in=__name__)


def test_parameters_that_are_passed_must_be_taken() -> None:
    check_parameters("pytest", Thing.act, ["who", "when"], written_for=">=8", used_in=__name__)
    check_parameters("pytest", anything, ["whatever"], written_for=">=8", used_in=__name__)
    with pytest.raises(CompatError, match=r"Thing\.act has no parameter why, how"):
        check_parameters("pytest", Thing.act, ["who", "why", "how"], written_for=">=8", used_in=__name__)
    with pytest.raises(CompatError, match="cannot be called"):
        check_parameters("pytest", 7, [], written_for=">=8", used_in=__name__)
