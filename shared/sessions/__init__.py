"""Conversations that an agent framework keeps through its own interface of sessions.

One module a framework, each needs that framework: `openai_agents`, `pydantic_ai`.
"""
