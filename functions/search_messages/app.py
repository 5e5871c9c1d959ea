"""This endpoint alone, for deploying it by itself."""

from functions.search_messages.handler import router
from shared.http.application import create_app

app = create_app(router)
