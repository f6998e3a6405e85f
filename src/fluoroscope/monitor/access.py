"""Who may come in: one-time tokens, sessions, the password of a remote door, Host and Origin."""

import hashlib
import hmac
import os
import secrets
import stat
import threading
import time
from collections import deque
from http.cookies import CookieError, SimpleCookie
from pathlib import Path

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["SECURITY_HEADERS", "Doorkeeper", "Guard", "MonitorSetupError", "read_password"]

SHORTEST_PASSWORD = 12
SHORTEST_TOKEN = 16
_MOST_TOKENS, _MOST_SESSIONS = 16, 64
_TRIES, _TRIES_SECONDS = 5, 60.0

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        "connect-src 'self'; font-src 'self'; worker-src 'self'; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


class MonitorSetupError(ValueError):
    """The monitor cannot be served as asked; the message says what, where and what to do."""


def read_password(path: Path) -> str:
    """Return the first line of a password file.

    Raises
    ------
    MonitorSetupError
        If it cannot be read, others than its owner may read it, or the password is too short.
    """
    try:
        # On Windows the mode bits say nothing about who may read.
        if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise MonitorSetupError(f"password file {path} can be read by others: run chmod 600 {path}")
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise MonitorSetupError(f"password file {path} cannot be read ({error}): give a text file") from None
    if not lines or len(lines[0]) < SHORTEST_PASSWORD:
        raise MonitorSetupError(
            f"the password in {path} is too short: its first line needs {SHORTEST_PASSWORD} characters"
        )
    return lines[0]


def _digest(secret: str, salt: bytes) -> bytes:
    return hashlib.scrypt(secret.encode(), salt=salt, n=2**14, r=8, p=1)


class Doorkeeper:
    """Tokens are good once; each, or the password, is swapped for a session that lives as long as the server.

    Only digests are kept, and they are compared in constant time.
    """

    def __init__(self, authorities: frozenset[str], scheme: str, password: str | None = None) -> None:
        self.authorities = authorities
        self.origins = frozenset(f"{scheme}://{name}" for name in authorities)
        self.has_password = password is not None
        self._salt = secrets.token_bytes(16)
        self._password = _digest(password, self._salt) if password is not None else b""
        self._tokens: deque[bytes] = deque(maxlen=_MOST_TOKENS)
        self._sessions: deque[bytes] = deque(maxlen=_MOST_SESSIONS)
        self._tries: deque[float] = deque(maxlen=_TRIES)
        self._lock = threading.Lock()

    def new_token(self, token: str | None = None) -> str:
        """Return a token that opens one session.

        Raises
        ------
        MonitorSetupError
            If a given token is too short.
        """
        if token is not None and len(token) < SHORTEST_TOKEN:
            raise MonitorSetupError(f"the token is too short: give {SHORTEST_TOKEN} characters or more, or none")
        chosen = token or secrets.token_urlsafe(32)
        with self._lock:
            self._tokens.append(self._mark(chosen))
        return chosen

    def redeem(self, token: str) -> str | None:
        """Swap a token for a session; None when it is wrong or was used."""
        with self._lock:
            found = self._find(self._tokens, token)
            if found is None:
                return None
            self._tokens.remove(found)
            return self._open()

    def check_password(self, password: str) -> str | None:
        """Swap the password for a session; None when it is wrong, or after 5 tries within a minute."""
        if not self.has_password:
            return None
        with self._lock:
            now = time.monotonic()
            if len(self._tries) == _TRIES and now - self._tries[0] < _TRIES_SECONDS:
                return None
            self._tries.append(now)
            if not hmac.compare_digest(_digest(password, self._salt), self._password):
                return None
            self._tries.clear()
            return self._open()

    def known(self, session: str | None) -> bool:
        """Tell whether a session was opened here."""
        if session is None:
            return False
        with self._lock:
            return self._find(self._sessions, session) is not None

    def host_allowed(self, headers: Headers) -> bool:
        """Tell whether the request has exactly one Host, one of ours: no other name may point here."""
        hosts = headers.getlist("host")
        return len(hosts) == 1 and hosts[0].lower() in self.authorities

    def origin_allowed(self, headers: Headers) -> bool:
        """Tell whether the request has exactly one Origin, one of ours."""
        origins = headers.getlist("origin")
        return len(origins) == 1 and origins[0].lower() in self.origins

    def _open(self) -> str:
        session = secrets.token_urlsafe(32)
        self._sessions.append(self._mark(session))
        return session

    def _mark(self, secret: str) -> bytes:
        return hmac.digest(self._salt, secret.encode(errors="surrogatepass"), "sha256")

    def _find(self, marks: deque[bytes], secret: str) -> bytes | None:
        wanted, found = self._mark(secret), None
        for mark in marks:
            # No early end: the time must not tell which one matched.
            if hmac.compare_digest(mark, wanted):
                found = mark
        return found


def session_cookie(headers: Headers, name: str) -> str | None:
    """Return the session cookie of a request, None when there is none or the header is no cookie header."""
    try:
        morsel = SimpleCookie("; ".join(headers.getlist("cookie"))).get(name)
    except CookieError:
        return None
    return morsel.value if morsel is not None else None


class Guard:
    """Stands before every request, HTTP and WebSocket: checks Host, adds the security headers."""

    def __init__(self, app: ASGIApp, doorkeeper: Doorkeeper) -> None:
        self._app, self._doorkeeper = app, doorkeeper

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        if self._doorkeeper.host_allowed(Headers(scope=scope)):
            await self._app(scope, receive, send_with_headers)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "unknown Host"})
        else:
            await PlainTextResponse("unknown Host", 421)(scope, receive, send_with_headers)
