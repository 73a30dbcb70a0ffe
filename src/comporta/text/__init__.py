"""Texts as they are: normalising, sentences, language, a rough count of tokens. Pure functions, no dependency."""
