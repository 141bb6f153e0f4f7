"""notebooks: what the bundled notebooks import, and the notebooks themselves in `notebooks/bundled/`.

Takes   a lake, read straight from its files and never through the server.
Gives   frames, charts and widgets that render in JupyterLab without a network.
"""
