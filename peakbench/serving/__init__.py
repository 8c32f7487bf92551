"""Serves a model on this machine behind the OpenAI API."""
