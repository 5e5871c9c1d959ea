"""Files of conversations, read and stored: our own, a client's, ChatGPT's and Claude's.

Nothing of a file is believed but what it says was said. Who owns what is imported comes from the
caller's token, ids are new ones, times in the future are not kept, and there are no system rows:
what was one is stored as a user's, so that it is data to the AI and no more.
"""
