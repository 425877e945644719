"""Serves files through GStreamer's RTSP server, as somebody else's camera would.

gstserver.py [--tls CERT KEY] [--user NAME PASSWORD] PORT NAME=LAUNCH...

Each LAUNCH is a pipeline whose payloaders are named pay0, pay1, ...; it is served at /NAME and begins anew
when it ends. A name that ends in -nortcp sends no RTCP.
"""
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gio, GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

args = sys.argv[1:]
certificate = user = None
while args[0].startswith("--"):
    if args[0] == "--tls":
        certificate = Gio.TlsCertificate.new_from_files(args[1], args[2])
    elif args[0] == "--user":
        user = args[1], args[2]
    else:
        sys.exit(__doc__)
    args = args[3:]
port, paths = args[0], args[1:]

Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(port)
if certificate or user:
    auth = GstRtspServer.RTSPAuth()
    role = "anonymous"
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "user")
    if certificate:
        auth.set_tls_certificate(certificate)
    if user:
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(user[0], user[1], token)
    else:
        auth.set_default_token(token)
    server.set_auth(auth)
for path in paths:
    name, launch = path.split("=", 1)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch("( " + launch + " )")
    factory.set_shared(True)
    factory.set_enable_rtcp(not name.endswith("-nortcp"))
    if certificate or user:
        factory.add_role_from_structure(Gst.Structure.new_from_string(
            'user, media.factory.access=(boolean)true, media.factory.construct=(boolean)true'))
    server.get_mount_points().add_factory("/" + name, factory)
if not server.attach(None):
    sys.exit(f"port {port} cannot be listened on")
print("serving", flush=True)
GLib.MainLoop().run()
