"""This endpoint alone, for deploying it by itself."""

from functions.mega_mind.handler import router
from shared.http.application import create_app

app = create_app(router, prepare=lambda container: container.turns)
