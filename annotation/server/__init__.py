"""A real Argilla on this machine, without Docker or Elasticsearch.

environment.py has the isolated environment that it runs in, pinned by requirements.txt; state.py what stands in a
server's home; launch.py starts and stops. What runs in that environment is in inside/, and nothing of datakit is
imported there: supervise.py starts redis and the server and ends them whatever happens, boot.py is the server with
its worker, search the engine that is registered through Argilla's own plug-in point.
"""
