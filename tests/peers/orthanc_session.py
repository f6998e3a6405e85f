"""Run inside a network namespace: start Orthanc on loopback, C-STORE files to it, fetch them back, stop it.

Usage: orthanc_session.py ORTHANC STORESCU IP FOLDER FILE...; prints {SOP Instance UID: fetched file}.
"""

import json
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

HTTP_PORT, DICOM_PORT = 18042, 14242


def get(route: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{HTTP_PORT}{route}", timeout=10) as answer:
        return answer.read()


def wait_until_up(server: subprocess.Popen, ticks: int = 300) -> None:
    tick = threading.Event()
    for _ in range(ticks):
        if server.poll() is not None:
            raise SystemExit(f"Orthanc ended with code {server.returncode}")
        try:
            get("/system")
        except (urllib.error.URLError, ConnectionError):
            tick.wait(0.1)
        else:
            return
    raise SystemExit("Orthanc did not answer")


def main() -> None:
    orthanc, storescu, ip, folder, *files = sys.argv[1:]
    work = Path(folder)
    subprocess.run([ip, "link", "set", "lo", "up"], check=True)
    settings = {
        "Name": "peer", "HttpPort": HTTP_PORT, "DicomPort": DICOM_PORT, "DicomAet": "ORTHANC", "Plugins": [],
        "StorageDirectory": str(work / "storage"), "IndexDirectory": str(work / "storage"),
        "DicomAlwaysAllowStore": True, "RemoteAccessAllowed": False, "StorageCompression": False,
    }  # fmt: skip
    configuration = work / "orthanc.json"
    configuration.write_text(json.dumps(settings))
    with (work / "orthanc.log").open("wb") as log:
        server = subprocess.Popen([orthanc, str(configuration)], stdout=log, stderr=log)
        try:
            wait_until_up(server)
            for file in files:
                # -xt proposes JPEG-LS lossless, with the uncompressed syntaxes beside it.
                command = [storescu, "-xt", "-aec", "ORTHANC", "127.0.0.1", str(DICOM_PORT), file]
                if subprocess.run(command, stdout=sys.stderr, stderr=sys.stderr, check=False).returncode != 0:
                    command.remove("-xt")
                    subprocess.run(command, stdout=sys.stderr, stderr=sys.stderr, check=True)
            fetched = {}
            for instance in json.loads(get("/instances")):
                uid = json.loads(get(f"/instances/{instance}"))["MainDicomTags"]["SOPInstanceUID"]
                path = work / f"fetched-{len(fetched)}.dcm"
                path.write_bytes(get(f"/instances/{instance}/file"))
                fetched[uid] = str(path)
            print(json.dumps(fetched))
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(30)


if __name__ == "__main__":
    main()
