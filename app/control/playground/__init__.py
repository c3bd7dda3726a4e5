"""A local Feishu, as strict as the real one, with a chat page: for trying bots out and for judging the hub."""

from app.control.playground.callbacks import Clicked
from app.control.playground.delivery import Attempt, Delivery
from app.control.playground.envelope import ATTACKS, Posted
from app.control.playground.people import Said
from app.control.playground.playground import Playground
from app.control.playground.uuids import DUPLICATE_UUID_CODE
from app.control.playground.world import App, Chat, Message, User

__all__ = [
    "ATTACKS",
    "DUPLICATE_UUID_CODE",
    "App",
    "Attempt",
    "Chat",
    "Clicked",
    "Delivery",
    "Message",
    "Playground",
    "Posted",
    "Said",
    "User",
]
