"""Who may label: invitations, each a secret token that stands for a name."""

import hashlib
from time import time

import sqlalchemy as sa

from prefrl.labels.schema import INVITATIONS, UnknownId


def invite(connection: sa.Connection, name: str, token: str) -> None:
    """Let the token stand for the name; an earlier one of the same name ends. Only a hash is kept.

    A plain hash suffices for a token of 256 random bits, which nobody can guess.
    """
    row = {"token_sha256": _hash(token), "created_at": time(), "revoked_at": None}
    kept = connection.execute(INVITATIONS.update().where(INVITATIONS.c.name == name).values(row))
    if not kept.rowcount:
        connection.execute(INVITATIONS.insert().values(name=name, **row))


def revoke(connection: sa.Connection, name: str) -> None:
    """End the name's invitation.

    Raises:
        UnknownId: Nobody of this name is invited.
    """
    invited = INVITATIONS.c.name == name, INVITATIONS.c.revoked_at.is_(None)
    ended = connection.execute(INVITATIONS.update().where(*invited).values(revoked_at=time()))
    if not ended.rowcount:
        raise UnknownId(f"nobody called {name!r} is invited")


def name_behind(connection: sa.Connection, token: str) -> str | None:
    """Whom the token stands for; None for a token that is unknown or was revoked."""
    invited = INVITATIONS.c.token_sha256 == _hash(token), INVITATIONS.c.revoked_at.is_(None)
    return connection.scalar(sa.select(INVITATIONS.c.name).where(*invited))


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
