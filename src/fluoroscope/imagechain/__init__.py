"""What every frame passes on its way to the monitor: logarithm, recursive filter, grey scale, shutter, hold.

Takes LIN (or LOG or DISP as recorded) frames and gives DISP ones. The stages are functions in ``stages``;
`ImageChain` runs them and keeps what one run needs. See docs/explanations/image-chain.md for the order and
the meaning.
"""

from fluoroscope.imagechain.chain import ChainSettings, DisplayWindow, ImageChain
from fluoroscope.imagechain.stages import DISPLAY_GAIN, DISPLAY_OFFSET

__all__ = ["DISPLAY_GAIN", "DISPLAY_OFFSET", "ChainSettings", "DisplayWindow", "ImageChain"]
