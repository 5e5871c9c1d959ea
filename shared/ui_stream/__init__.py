"""Conversations as the AI SDK's `useChat` knows them: its messages and its stream protocol."""
