"""TorchScript in a process that has nothing but it: loaded, proved, lowered and executed there.

`worker` is that process's side and needs torch; `network` is the other one's, which takes nothing
from it but numbers and text. `process` starts one for a program with no loading process.
"""
