"""Feedback: what people say of answers, and what they do with them, as scores."""
