"""Who may come in: tokens, cookies, Host, Origin, passwords, files of the page."""

import asyncio
import contextlib
import socket
import subprocess

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from fluoroscope.monitor.access import Doorkeeper, MonitorSetupError, read_password, session_cookie
from fluoroscope.monitor.hub import Hub
from fluoroscope.monitor.server import MonitorServer, build_app, check_door, find_static

HEADERS = {
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-resource-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


@pytest.mark.req("REQ-WEB-001")
def test_the_token_opens_one_session_and_then_is_dead(server):
    first = httpx.get(server.url)
    assert (first.status_code, first.headers["location"]) == (303, "/")
    cookie = first.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Path=/" in cookie
    assert "Max-Age" not in cookie
    assert server.url.split("token=")[1] not in cookie
    assert httpx.get(server.url).status_code == 403
    with httpx.Client(headers={"Cookie": cookie.split(";")[0]}) as browser:
        assert browser.get(server.address).status_code in (200, 503)
        # The printed address again, in the browser that has the session: a reload works.
        assert browser.get(server.url).headers["location"] == "/"
    second = httpx.get(server.new_token())
    assert second.status_code == 303
    assert second.headers["set-cookie"] != cookie


def test_looking_at_the_address_does_not_use_the_token_up(server):
    assert httpx.head(server.url).status_code == 403
    assert httpx.get(server.url).status_code == 303


@pytest.mark.parametrize("token", ["", "x", "x" * 43, "%00", "é" * 20, "x" * 9000])
def test_a_wrong_token_is_refused(server, token):
    assert httpx.get(server.address, params={"token": token}).status_code == 403


@pytest.mark.parametrize("path", ["", "index.html", "assets/x.js", "ws", "login", "../pyproject.toml"])
def test_nothing_is_shown_without_a_session_and_every_answer_has_the_headers(server, path):
    for cookie in ({}, {"Cookie": "fluoroscope=x"}, {"Cookie": ";;=,\x80".encode("latin-1")}):
        answer = httpx.get(server.address + path, headers=cookie)
        assert answer.status_code in (403, 404)
        for name, value in HEADERS.items():
            assert answer.headers[name] == value
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'self';")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert "server" not in answer.headers


def raw(server, request: str) -> str:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as plain:
        plain.sendall(request.replace("\n", "\r\n").encode())
        return plain.recv(65536).decode(errors="replace")


@pytest.mark.req("REQ-WEB-001")
@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:{port}", ""],
)
def test_another_host_name_is_refused(server, enter, host):
    """A page of another name that was made to point here (DNS rebinding) reads nothing, HTTP or WebSocket."""
    enter()
    cookie = httpx.get(server.new_token()).headers["set-cookie"].split(";")[0]
    named = host.format(port=server.port)
    answer = raw(server, f"GET / HTTP/1.1\nHost: {named}\nCookie: {cookie}\nConnection: close\n\n")
    assert answer.startswith(("HTTP/1.1 421", "HTTP/1.1 400"))
    upgrade = (
        f"GET /ws HTTP/1.1\nHost: {named}\nOrigin: http://127.0.0.1:{server.port}\nCookie: {cookie}\n"
        "Upgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Version: 13\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n\n"
    )
    assert "101" not in raw(server, upgrade).splitlines()[0]


def test_two_hosts_are_refused(server):
    answer = raw(server, f"GET / HTTP/1.1\nHost: 127.0.0.1:{server.port}\nHost: evil.example\n\n")
    assert answer.startswith(("HTTP/1.1 421", "HTTP/1.1 400"))


@pytest.mark.req("REQ-WEB-001")
@pytest.mark.parametrize(
    "origin",
    [
        None,
        "null",
        "http://evil.example",
        "https://127.0.0.1:{port}",
        "http://127.0.0.1",
        "http://127.0.0.1:1",
    ],
)
def test_a_socket_from_another_origin_is_refused_before_it_opens(server, enter, origin):
    origin = origin and origin.format(port=server.port)
    with pytest.raises(InvalidStatus) as refused:
        enter(origin=origin)
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize("cookie", ["", "fluoroscope=abc", "other=1"])
def test_a_socket_without_a_session_is_refused(server, cookie):
    with (
        pytest.raises(InvalidStatus) as refused,
        connect(
            server.address.replace("http", "ws") + "ws",
            origin=server.address[:-1],
            additional_headers={"Cookie": cookie},
        ),
    ):
        pass
    assert refused.value.response.status_code == 403


def test_the_cookie_of_one_server_opens_no_other(server, room):
    cookie = httpx.get(server.url).headers["set-cookie"].split(";")[0]
    other = MonitorServer(room, port=0)
    other.start()
    try:
        renamed = cookie.replace(str(server.port), str(other.port))
        assert httpx.get(other.address, headers={"Cookie": renamed}).status_code == 403
    finally:
        other.stop()


@given(st.binary(max_size=80))
def test_any_cookie_header_is_read_or_ignored(value):
    headers = Headers(raw=[(b"cookie", value)])
    found = session_cookie(headers, "fluoroscope_1")
    assert found is None or isinstance(found, str)


# Files of the page


@pytest.fixture
def site(tmp_path):
    """Give a function that asks a built page (in a folder) with a session."""
    built = tmp_path / "static"
    (built / "assets").mkdir(parents=True)
    (built / "index.html").write_text("<!doctype html><title>page</title>")
    (built / "assets" / "app-3f2a.js").write_text("export {}")
    (built / "assets" / "app-3f2a.css").write_text("body{}")
    (tmp_path / "secret.txt").write_text("secret")
    doorkeeper = Doorkeeper(frozenset({"127.0.0.1:1"}), "http")
    app = build_app(Hub(None), doorkeeper, folder=built)
    session = doorkeeper.redeem(doorkeeper.new_token())

    def ask(path: str, **headers: str) -> httpx.Response:
        async def go() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:1") as client:
                return await client.get(path, headers={"Cookie": f"fluoroscope={session}", **headers})

        return asyncio.run(go())

    ask.built = built
    return ask


@pytest.mark.parametrize(
    ("path", "kind", "caching"),
    [
        ("/", "text/html; charset=utf-8", "no-cache"),
        ("/index.html", "text/html; charset=utf-8", "no-cache"),
        ("/assets/app-3f2a.js", "text/javascript; charset=utf-8", "private, max-age=31536000, immutable"),
        ("/assets/app-3f2a.css", "text/css; charset=utf-8", "private, max-age=31536000, immutable"),
    ],
)
def test_files_have_their_type_and_their_caching(site, path, kind, caching):
    answer = site(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == kind
    assert answer.headers["cache-control"] == caching
    again = site(path, **{"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/assets/..%2f..%2fsecret.txt",
        "/..%5csecret.txt",
        "//etc/passwd",
        "/assets",
        "/assets/",
        "/assets/app-3f2a.js/x",
        "/%00",
        "/assets/%2e/app-3f2a.js",
    ],
)
def test_no_path_leads_out_of_the_page(site, path):
    answer = site(path)
    assert answer.status_code == 404
    assert "secret" not in answer.text.replace("secret.txt", "")


@given(st.text(max_size=40))
def test_find_static_gives_only_files_inside(tmp_path_factory, path):
    folder = tmp_path_factory.getbasetemp() / "find_static"
    folder.mkdir(exist_ok=True)
    (folder / "a").write_text("a")
    (folder.parent / "outside").write_text("x")
    found = find_static(folder, path)
    assert found is None or found == folder / "a"


def test_a_missing_bundle_says_what_to_do(site):
    (site.built / "index.html").unlink()
    answer = site("/")
    assert answer.status_code == 503
    assert "make page" in answer.text


# Doors to other computers


@pytest.fixture
def certificate(tmp_path, peer_program):
    names = "subjectAltName=IP:127.0.0.1"
    subprocess.run(
        [
            peer_program("openssl"),
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-keyout",
            "key.pem",
            "-out",
            "cert.pem",
            "-days",
            "2",
            "-subj",
            "/CN=127.0.0.1",
            "-addext",
            names,
        ],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    return tmp_path / "cert.pem", tmp_path / "key.pem"


@pytest.fixture
def password_file(tmp_path):
    path = tmp_path / "password"
    path.write_text("correct horse battery\n")
    path.chmod(0o600)
    return path


@pytest.mark.req("REQ-WEB-001")
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "2001:db8::1"])
def test_other_addresses_are_refused_without_tls_and_password(room, host, password_file):
    for how in ({}, {"password_file": password_file}):
        with pytest.raises(MonitorSetupError, match=r"TLS certificate.*password.*127\.0\.0\.1"):
            MonitorServer(room, host, 0, **how)
        with pytest.raises(MonitorSetupError, match="password"):
            check_door(host, 0, **how)


@pytest.mark.peer("openssl")
def test_tls_alone_is_not_enough(room, certificate):
    with pytest.raises(MonitorSetupError, match="password"):
        MonitorServer(room, "0.0.0.0", 0, tls_certificate=certificate[0], tls_key=certificate[1])


@pytest.mark.peer("openssl")
def test_a_remote_door_opens_with_tls_and_password(room, certificate, password_file):
    import ssl

    server = MonitorServer(
        room,
        "0.0.0.0",
        0,
        tls_certificate=certificate[0],
        tls_key=certificate[1],
        password_file=password_file,
    )
    server.start()
    trusted = ssl.create_default_context(cafile=str(certificate[0]))
    address = f"https://127.0.0.1:{server.port}"
    try:
        with httpx.Client(verify=trusted, base_url=address) as browser:
            assert browser.get("/").headers["location"] == "/login"
            form = browser.get("/login")
            # no-referrer would make the browser's own form say "Origin: null".
            assert form.headers["referrer-policy"] == "same-origin"
            right = {"password": "correct horse battery"}
            assert browser.post("/login", data=right).status_code == 403
            own = {"Origin": address}
            assert browser.post("/login", data=right, headers={"Origin": "https://evil.example"}).status_code == 403
            assert browser.post("/login", content=b"x" * 5000, headers=own).status_code == 413
            for _ in range(2):
                assert browser.post("/login", data={"password": "wrong"}, headers=own).status_code == 403
            entered = browser.post("/login", data=right, headers=own)
            assert entered.status_code == 303
            assert "Secure" in entered.headers["set-cookie"]
            for _ in range(5):
                browser.post("/login", data={"password": "wrong"}, headers=own)
            assert browser.post("/login", data=right, headers=own).status_code == 403, "tries are not limited"
            cookie = entered.headers["set-cookie"].split(";")[0]
        with connect(
            address.replace("https", "wss") + "/ws",
            ssl=trusted,
            origin=address,
            additional_headers={"Cookie": cookie},
        ) as page:
            assert '"operator": true' in page.recv(10)
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://127.0.0.1:{server.port}/")
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("content", "mode", "says"),
    [
        (None, 0o600, "cannot be read"),
        ("short\n", 0o600, "12 characters"),
        ("", 0o600, "12 characters"),
        ("long enough password\n", 0o644, "chmod 600"),
        (b"\xff\xfe", 0o600, "cannot be read"),
    ],
)
def test_a_bad_password_file_is_one_clear_line(tmp_path, content, mode, says):
    path = tmp_path / "password"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(mode)
    with pytest.raises(MonitorSetupError, match=says) as refused:
        read_password(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"host": "example.org"}, "no IP address"),
        ({"port": 70000}, "--port"),
        ({"token": "short"}, "16 characters"),
        ({"tls_key": "k.pem"}, "both files"),
        ({"tls_key": "k.pem", "tls_certificate": "c.pem"}, "PEM"),
    ],
)
def test_a_bad_set_up_is_one_clear_line_and_leaves_nothing_open(room, how, says):
    with pytest.raises(MonitorSetupError, match=says) as refused:
        MonitorServer(room, **({"port": 0} | how))
    assert "\n" not in str(refused.value)


def test_sessions_and_tokens_are_bounded():
    doorkeeper = Doorkeeper(frozenset(), "http")
    tokens = [doorkeeper.new_token() for _ in range(100)]
    assert doorkeeper.redeem(tokens[0]) is None
    with contextlib.suppress(IndexError):
        assert doorkeeper.redeem(tokens[-1]) is not None
    assert not doorkeeper.known(None)
