"""The door of the monitor: the page, the socket, and who may use them. Loopback only by default."""

import asyncio
import contextlib
import hashlib
import importlib.resources
import ipaddress
import mimetypes
import os
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Sequence
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from fluoroscope.monitor.access import Doorkeeper, Guard, MonitorSetupError, read_password, session_cookie
from fluoroscope.monitor.control import RoomControl
from fluoroscope.monitor.hub import Hub
from fluoroscope.monitor.wire import MESSAGE_BYTES

__all__ = ["MonitorServer", "MonitorSetupError", "bind", "build_app", "check_door"]

_TYPES = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".css": "text/css",
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
    ".wasm": "application/wasm",
    ".ico": "image/x-icon",
    ".webmanifest": "application/manifest+json",
    ".txt": "text/plain; charset=utf-8",
}
_LONGEST_FORM = 4096


def _page_text(title: str, text: str, form: str = "") -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="color-scheme" content="dark">'
        f"<title>Fluoroscope: {title}</title></head><body><h1>{title}</h1><p>{text}</p>{form}"
        "<p>Not a medical device; not for diagnosis or treatment.</p></body></html>"
    )


_NOT_BUILT = _page_text("The page is not built", "Run <code>make page</code>, then reload.")
_NO_SESSION = _page_text(
    "Not signed in",
    "Open the address that Fluoroscope printed when it started. It opens one window, once.",
)
_LOGIN = _page_text(
    "Sign in",
    "Give the password of this monitor.",
    '<form method="post" action="/login"><label>Password <input type="password" name="password" autofocus '
    'autocomplete="current-password"></label> <button>Sign in</button></form>',
)


def static_folder() -> Traversable:
    """Return the folder of the built page."""
    return importlib.resources.files("fluoroscope.monitor") / "static"


def find_static(folder: Traversable, path: str) -> Traversable | None:
    """Return the file of the page at ``path``, None when there is none; never one outside the folder."""
    place = folder
    for step in path.split("/"):
        # Only names that a listing shows: "..", drives, NUL and absolute paths are none.
        if not place.is_dir() or step not in (entry.name for entry in place.iterdir()):
            return None
        place = place / step
    return place if place.is_file() else None


class _Site:
    """The HTTP side: sign in, the page, its files."""

    def __init__(self, hub: Hub, doorkeeper: Doorkeeper, cookie: str, secure: bool, folder: Traversable) -> None:
        self._hub, self._doorkeeper, self._folder = hub, doorkeeper, folder
        self._cookie, self._secure = cookie, secure

    def _signed_in(self, request: Request | WebSocket) -> str | None:
        session = session_cookie(request.headers, self._cookie)
        return session if self._doorkeeper.known(session) else None

    def _enter(self, session: str) -> Response:
        response = RedirectResponse("/", 303, headers={"Cache-Control": "no-store"})
        response.set_cookie(self._cookie, session, path="/", secure=self._secure, httponly=True, samesite="strict")
        return response

    def _turn_away(self) -> Response:
        if self._doorkeeper.has_password:
            return RedirectResponse("/login", 303, headers={"Cache-Control": "no-store"})
        return HTMLResponse(_NO_SESSION, 403, headers={"Cache-Control": "no-store"})

    def home(self, request: Request) -> Response:
        """Serve "/": swap the token, or show the page."""
        token = request.query_params.get("token")
        if self._signed_in(request):
            return self._file(request, "index.html") if token is None else RedirectResponse("/", 303)
        session = self._doorkeeper.redeem(token) if token is not None and request.method == "GET" else None
        return self._enter(session) if session is not None else self._turn_away()

    def login_form(self, request: Request) -> Response:
        """Show the password form of a remote door."""
        if not self._doorkeeper.has_password:
            return PlainTextResponse("not found", 404)
        # With no-referrer a browser would send "Origin: null" with the form.
        return HTMLResponse(_LOGIN, headers={"Referrer-Policy": "same-origin", "Cache-Control": "no-store"})

    async def login(self, request: Request) -> Response:
        """Swap the password for a session."""
        if not self._doorkeeper.has_password or not self._doorkeeper.origin_allowed(request.headers):
            return PlainTextResponse("not allowed", 403)
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > _LONGEST_FORM:
                return PlainTextResponse("form too long", 413)
        password = parse_qs(body.decode("utf-8", errors="replace")).get("password", [""])[0]
        session = await asyncio.to_thread(self._doorkeeper.check_password, password)
        if session is None:
            return PlainTextResponse("wrong password, or too many tries: wait a minute and try again", 403)
        return self._enter(session)

    def file(self, request: Request) -> Response:
        """Serve a file of the page."""
        if not self._signed_in(request):
            return PlainTextResponse("not signed in", 403, headers={"Cache-Control": "no-store"})
        return self._file(request, request.path_params["path"])

    def asset(self, request: Request) -> Response:
        """Serve what the room tells beside its status: thumbnails, choices, shapes."""
        if not self._signed_in(request):
            return PlainTextResponse("not signed in", 403, headers={"Cache-Control": "no-store"})
        found = self._hub.room.asset(request.path_params["name"])
        if found is None:
            return PlainTextResponse("not found", 404)
        return _answer(request, found.content, found.media_type, "no-cache")

    def _file(self, request: Request, path: str) -> Response:
        found = find_static(self._folder, path)
        if found is None:
            return (
                HTMLResponse(_NOT_BUILT, 503, headers={"Cache-Control": "no-store"})
                if path == "index.html"
                else PlainTextResponse("not found", 404)
            )
        # Names under assets/ carry a hash of what is in them; the rest is asked for again each time.
        caching = "private, max-age=31536000, immutable" if path.startswith("assets/") else "no-cache"
        suffix = os.path.splitext(path)[1].lower()
        kind = _TYPES.get(suffix) or mimetypes.guess_type(path)[0] or "application/octet-stream"
        return _answer(request, found.read_bytes(), kind, caching)

    async def socket(self, websocket: WebSocket) -> None:
        """Serve "/ws": Origin and session are checked before it is accepted."""
        session = self._signed_in(websocket)
        if not self._doorkeeper.origin_allowed(websocket.headers) or session is None:
            await websocket.close(1008, "not allowed")
        elif self._hub.full:
            await websocket.send_denial_response(PlainTextResponse("too many pages are open: close one", 503))
        else:
            await websocket.accept()
            await self._hub.serve(websocket, session)


def _answer(request: Request, content: bytes, kind: str, caching: str) -> Response:
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": caching}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=kind, headers=headers)


def build_app(
    hub: Hub,
    doorkeeper: Doorkeeper,
    *,
    cookie: str = "fluoroscope",
    secure: bool = False,
    folder: Traversable | None = None,
) -> Guard:
    """Return the ASGI application; ``folder`` is the built page (default: the package's own)."""
    site = _Site(hub, doorkeeper, cookie, secure, folder or static_folder())

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        ready, ended = asyncio.Event(), asyncio.Event()
        running = asyncio.create_task(hub.run(ready, ended))
        await ready.wait()
        yield
        ended.set()
        await running

    routes = [
        Route("/", site.home),
        Route("/login", site.login_form, methods=["GET"]),
        Route("/login", site.login, methods=["POST"]),
        WebSocketRoute("/ws", site.socket),
        Route("/room/{name:path}", site.asset),
        Route("/{path:path}", site.file),
    ]
    return Guard(Starlette(routes=routes, lifespan=lifespan), doorkeeper)


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that listens on ``host`` and ``port`` (0: any free one); nobody else can take it then.

    Raises
    ------
    MonitorSetupError
        If the port is in use, or the address is not one of this computer.
    """
    if not 0 <= port <= 65535:
        raise MonitorSetupError(f"port {port} does not exist: choose --port 1024 to 65535")
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    if os.name == "posix":
        # Lets a restart have the port at once; a second listener is still refused.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except PermissionError:
        listener.close()
        raise MonitorSetupError(f"port {port} needs more rights: choose --port 1024 to 65535") from None
    except OSError as error:
        listener.close()
        if port and error.errno in _IN_USE:
            raise MonitorSetupError(
                f"port {port} on {host} is in use: stop the other program or choose another with --port"
            ) from None
        raise MonitorSetupError(f"cannot listen on {host}:{port} ({error.strerror}): check --host") from None
    return listener


_IN_USE = (98, 48, 10048, 10013)


def _numeric(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        raise MonitorSetupError(f"host {host!r} is no IP address: give one, such as 127.0.0.1") from None


class MonitorServer:
    """Serves the page and the stream of a room.

    Parameters
    ----------
    room
        The room behind the page.
    host, port
        Where to listen; port 0 takes a free one. Any address but loopback needs TLS and a password.
    token
        The first one-time token (at least 16 characters); made up when None.
    tls_certificate, tls_key
        PEM files; both or neither.
    password_file
        A file that only its owner may read; its first line is the password (12 characters or more).
    allowed_names
        Further host names under which pages may reach this server, such as "workstation.hospital.example".

    Raises
    ------
    MonitorSetupError
        If the door would be unsafe, a file is unusable, or the port is in use: the port is taken here.
    """

    def __init__(
        self,
        room: RoomControl,
        host: str = "127.0.0.1",
        port: int = 8042,
        *,
        token: str | None = None,
        tls_certificate: Path | None = None,
        tls_key: Path | None = None,
        password_file: Path | None = None,
        allowed_names: Sequence[str] = (),
    ) -> None:
        address, secure, password = _checked_door(host, tls_certificate, tls_key, password_file)
        self._listener = bind(str(address), port)
        self.port: int = self._listener.getsockname()[1]
        self._scheme = "https" if secure else "http"
        shown = f"[{address}]" if address.version == 6 else str(address)
        names = {shown, *allowed_names} | ({"localhost", "127.0.0.1", "[::1]"} if address.is_loopback else set())
        if address.is_unspecified:
            names |= {socket.gethostname().lower(), "localhost", "127.0.0.1", "[::1]"}
        standard = self.port == (443 if secure else 80)
        authorities = {f"{name.lower()}:{self.port}" for name in names}
        authorities |= {name.lower() for name in names} if standard else set()
        self.address = f"{self._scheme}://{shown}:{self.port}/"
        self._doorkeeper = Doorkeeper(frozenset(authorities), self._scheme, password)
        try:
            self._token = self._doorkeeper.new_token(token)
        except MonitorSetupError:
            self._listener.close()
            raise
        self._hub = Hub(room)
        # Cookies know no ports: the name keeps two servers on one computer apart.
        app = build_app(self._hub, self._doorkeeper, cookie=f"fluoroscope_{self.port}", secure=secure)
        self._uvicorn = uvicorn.Server(
            uvicorn.Config(
                app,
                loop="asyncio",
                http="h11",
                ws="auto",
                lifespan="on",
                interface="asgi3",
                ws_max_size=MESSAGE_BYTES,
                ws_per_message_deflate=False,
                ws_ping_interval=5.0,
                ws_ping_timeout=10.0,
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                limit_concurrency=64,
                h11_max_incomplete_event_size=16384,
                timeout_keep_alive=5,
                timeout_graceful_shutdown=2,
                ssl_certfile=tls_certificate,
                ssl_keyfile=tls_key,
            )
        )
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The address with the first token; it opens one window, once."""
        return f"{self.address}?token={self._token}"

    def new_token(self) -> str:
        """Return an address that opens one more window."""
        return f"{self.address}?token={self._doorkeeper.new_token()}"

    def start(self) -> None:
        """Serve in a background thread; returns when pages may come.

        Raises
        ------
        MonitorSetupError
            If it was started or stopped before.
        """
        if self._thread is not None or self._listener.fileno() < 0:
            raise MonitorSetupError("this monitor was started or stopped before: make a new one")
        self._thread = threading.Thread(target=self._serve, name="monitor-server", daemon=True)
        self._thread.start()
        while not self._hub.ready.wait(0.05):
            if not self._thread.is_alive():
                raise MonitorSetupError("the monitor's server ended at its start: see the program's log")

    def _serve(self) -> None:
        self._uvicorn.run(sockets=[self._listener])

    def stop(self) -> None:
        """End any exposure, close every page, free the port. May be called twice."""
        self._hub.halt()
        self._uvicorn.should_exit = True
        if self._thread is not None:
            self._thread.join(10.0)
        self._listener.close()

    def statistics(self) -> dict[str, Any]:
        """Return per page and channel: offered, sent, painted, skipped, unacked, mode, p50_ms, p95_ms."""
        return self._hub.statistics()


def check_door(
    host: str,
    port: int,
    *,
    tls_certificate: Path | None = None,
    tls_key: Path | None = None,
    password_file: Path | None = None,
) -> None:
    """Refuse a door that `MonitorServer` would refuse, before anything slow is loaded.

    Raises
    ------
    MonitorSetupError
        If the door would be unsafe, a file is unusable, or the port is in use.
    """
    address, _, _ = _checked_door(host, tls_certificate, tls_key, password_file)
    bind(str(address), port).close()


def _checked_door(
    host: str, certificate: Path | None, key: Path | None, password_file: Path | None
) -> tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, bool, str | None]:
    address = _numeric(host)
    password = read_password(password_file) if password_file is not None else None
    secure = _check_tls(certificate, key)
    if not address.is_loopback and not (secure and password is not None):
        raise MonitorSetupError(
            f"host {host} can be reached by others: give a TLS certificate, its key and a password file, "
            "or listen on 127.0.0.1"
        )
    return address, secure, password


def _check_tls(certificate: Path | None, key: Path | None) -> bool:
    if certificate is None and key is None:
        return False
    if certificate is None or key is None:
        raise MonitorSetupError("TLS needs both files: give the certificate and its key")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise MonitorSetupError(f"TLS files {certificate}, {key} are unusable ({error}): give PEM files") from None
    return True
