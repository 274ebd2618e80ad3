"""Fake service accounts, so that callers are told apart through the clients' ordinary credential chain.

An account is a key file like Google's, but its ``token_uri`` is the local server. The client signs a JWT with
the private key (RFC 7523), exchanges it for a bearer token and sends that with every request. The private
key is given away once and never kept; of a token only a digest is.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import exceptions, jwt

from gee.local.assets.database import Database
from gee.local.assets.iam import LOCAL_USER, Identity
from gee.local.errors import EngineError

DOMAIN = "local.iam.gserviceaccount.com"
"""Of the accounts' addresses: ``earthengine acl ch -u`` takes only this form for a service account, and no
real project is called "local" (they have six letters or more)."""
ANONYMOUS_BEARER = "anonymous"
"""What a client that must send some bearer, such as GDAL's EEDAI, sends to be the default local user."""
GOOGLE_AUDIENCE = "https://oauth2.googleapis.com/token"
"""What google-auth signs for whatever the key's ``token_uri`` is; other clients sign for that."""
TOKEN_SECONDS = 3600  # as Google's
CLOCK_SKEW_SECONDS = 10
_NAME = re.compile(
    r"[a-z]([a-z0-9-]{0,28}[a-z0-9])?"
)  # Google's letters and length, without its least of six


@dataclass(frozen=True)
class AccessToken:
    """A bearer token.

    Attributes:
        token: opaque.
        expires_in: seconds from now.
    """

    token: str
    expires_in: int

    def to_json(self) -> dict[str, Any]:
        """The answer of an OAuth token endpoint."""
        return {"access_token": self.token, "expires_in": self.expires_in, "token_type": "Bearer"}


class Accounts:
    """The accounts of one state.

    Args:
        database: of the state.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def mint(self, name: str, token_uri: str, project: str = "my-project") -> dict[str, str]:
        """Make an account, or another key of one that exists.

        Args:
            name: of the account, what stands before the ``@``.
            token_uri: where the server exchanges assertions, ``http://127.0.0.1:PORT/token``.
            project: what clients take for the account's project.

        Returns:
            The content of the key file, with the only copy of the private key.

        Raises:
            EngineError: INVALID_ARGUMENT; not a name of a service account.
        """
        if not _NAME.fullmatch(name):
            raise EngineError(
                f"Invalid account name {name!r}: a lower-case letter, then up to 29 more, digits or hyphens."
            )
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public_key = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        private_key = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        email, key_id = f"{name}@{DOMAIN}", secrets.token_hex(20)
        with self._database.write() as connection:
            connection.execute(
                "INSERT INTO account_keys VALUES (?, ?, ?, ?)",
                (key_id, email, public_key.decode(), token_uri),
            )
        return {
            "type": "service_account",
            "project_id": project,
            "private_key_id": key_id,
            "private_key": private_key.decode(),
            "client_email": email,
            "client_id": str(int(hashlib.sha256(email.encode()).hexdigest()[:16], 16)),
            "auth_uri": token_uri,
            "token_uri": token_uri,
            "universe_domain": "googleapis.com",
        }

    def exchange(self, assertion: str) -> AccessToken:
        """Give a bearer token for a signed assertion.

        Args:
            assertion: a JWT: by a key of this state, about the key's own account, for its token URI or
                Google's, valid now and for an hour at most.

        Raises:
            EngineError: UNAUTHENTICATED; it is anything else.
        """
        email = self._verify(assertion)
        token = f"local.{secrets.token_urlsafe(32)}"
        now = time.time()
        with self._database.write() as connection:
            connection.execute("DELETE FROM tokens WHERE expires < ?", (now,))
            connection.execute(
                "INSERT INTO tokens VALUES (?, ?, ?)", (_digest(token), email, now + TOKEN_SECONDS)
            )
        return AccessToken(token, TOKEN_SECONDS)

    def identify(self, authorization: str | None) -> Identity:
        """Who sends a request.

        Args:
            authorization: the header; without one, or with the anonymous bearer, it is the local user.

        Raises:
            EngineError: UNAUTHENTICATED; a credential that is unknown here, or has expired.
        """
        if not authorization:
            return LOCAL_USER
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() == "bearer":
            if token == ANONYMOUS_BEARER:
                return LOCAL_USER
            with self._database.read() as connection:
                row = connection.execute(
                    "SELECT email FROM tokens WHERE digest = ? AND expires > ?", (_digest(token), time.time())
                ).fetchone()
            if row is not None:
                return Identity("serviceAccount", row["email"])
        raise EngineError(
            "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or "
            "other valid authentication credential.",
            "UNAUTHENTICATED",
        )

    def _verify(self, assertion: str) -> str:
        try:
            key_id = jwt.decode_header(assertion).get("kid")  # type: ignore[no-untyped-call]
            with self._database.read() as connection:
                row = connection.execute(
                    "SELECT * FROM account_keys WHERE key_id = ?", (str(key_id),)
                ).fetchone()
            if row is None:
                raise _refused("Invalid grant: account not found.")
            claims = jwt.decode(  # type: ignore[no-untyped-call]
                assertion,
                certs=row["public_key"],
                audience=[row["token_uri"], GOOGLE_AUDIENCE],
                clock_skew_in_seconds=CLOCK_SKEW_SECONDS,
            )
            lifetime = claims["exp"] - claims["iat"]
        except (exceptions.GoogleAuthError, ValueError, TypeError, AttributeError, KeyError) as error:
            raise _refused(f"Invalid JWT: {str(error)[:200]}") from error
        if claims.get("iss") != row["email"] or claims.get("sub") not in (None, row["email"]):
            raise _refused("Invalid JWT: it speaks for another account than its key's.")
        if lifetime > TOKEN_SECONDS + CLOCK_SKEW_SECONDS:
            raise _refused("Invalid JWT: Token must be a short-lived token (60 minutes).")
        return str(row["email"])


def _refused(reason: str) -> EngineError:
    return EngineError(reason, "UNAUTHENTICATED")


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
