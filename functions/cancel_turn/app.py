"""This endpoint alone, for deploying it by itself."""

from functions.cancel_turn.handler import router
from shared.http.application import create_app

app = create_app(router, prepare=lambda container: container.turns)
