"""The configuration of the JupyterLab that `notebooks.jupyter` starts; it reads what that module put in the environment.

It lies first in `JUPYTER_CONFIG_PATH`, so it holds whatever a user or a machine has configured for other JupyterLabs.
"""

import os

from traitlets.config import get_config

c = get_config()

c.ServerApp.ip = "127.0.0.1"
c.ServerApp.port = int(os.environ["JUPYTER_PORT"])
c.ServerApp.port_retries = 0  # on another port the address that was printed would be wrong
c.ServerApp.root_dir = os.environ["TRACELAKE_NOTEBOOKS"]
c.ServerApp.open_browser = False
c.ServerApp.quit_button = False  # it is started again when it ends
c.ServerApp.allow_root = True  # containers; `lab_for` warns
c.ServerApp.allow_remote_access = False  # refuses other Host headers: DNS rebinding

# The token alone opens the door. Not as an argument, because `ps` shows those to every user of the machine.
c.ServerApp.identity_provider_class = "jupyter_server.auth.identity.IdentityProvider"
c.IdentityProvider.token = os.environ["JUPYTER_TOKEN"]

# Nothing is fetched from anywhere; `labconfig/` turns the same off in the browser.
c.LabApp.extension_manager = "readonly"
c.LabApp.news_url = None
c.LabApp.check_for_updates_class = "jupyterlab.handlers.announcements.NeverCheckForUpdate"

# What jupytext would add to the menus helps nobody who does not know it; `labconfig/` has the other half.
c.ServerApp.jpserver_extensions.update({"jupyterlab_jupytext": False})

c.KernelManager.transport_encryption = "auto"  # other users of the machine do not read along on the loopback
c.KernelManager.shutdown_wait_time = 1.5  # seconds; `tracelake serve` is gone within 5
