"""How bytes travel: listeners and what every request passes first, answers and the pump that moves them, requests to peers.

Any room above may come in; uvicorn and aiohttp stay here. Start at `inbound.py` and `pump.py` (answering), `outbound.py` (asking).
"""
