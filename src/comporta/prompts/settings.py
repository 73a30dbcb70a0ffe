"""The section `prompts:` of the configuration."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from comporta.config.section import Section
from comporta.config.values import Duration, Size


class EnvironmentSection(Section):
    """What a deploy to one environment asks for."""

    approval: Literal["required", "none"] = Field(
        "none", description="`required`: somebody other than the author says yes to the very version first."
    )
    tests: Literal["required", "none"] = Field(
        "none", description="`required`: the latest test run of the very version is green."
    )
    watch: Duration = Field(
        600.0,
        ge=0,
        le=7 * 86_400,
        description="How long a deploy is watched, and brought back if it does harm; 0s: not.",
    )


class PromptsSection(Section):
    """The prompt registry."""

    environments: dict[str, EnvironmentSection] = Field(
        default_factory=dict, description="Rules by environment; one that is not named has the defaults."
    )
    memory: Size = Field(
        64 * 1024 * 1024, ge=1024 * 1024, description="How much of prompts made ready each process keeps."
    )

    def environment(self, name: str) -> EnvironmentSection:
        """What holds for an environment."""
        return self.environments.get(name) or EnvironmentSection()
