"""An independent checker of proofs: reads the model, the query and the proof itself, and establishes every leaf again.

It shares no code with the engine that made the proof: nothing of this project is imported here, nor is torch. What it
relies on is said in ``docs/proofs.md``, section What a reader must trust.
"""

from __future__ import annotations
