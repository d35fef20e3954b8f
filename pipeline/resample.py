from typing import Literal
Method = Literal["bandlimited", "linear", "nearest"]
