"""For applications that ask models themselves, or by another SDK: prompts of a gate's registry, kept close at hand."""

from comporta.client.prompts import Fallback, Prompts, Rendered

__all__ = ["Fallback", "Prompts", "Rendered"]
