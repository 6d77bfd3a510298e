"""Labelled images as they come, one after the other: from a folder, tar files, a table.

All kinds are read by the same two passes (:mod:`minicnn.data.packing`): one for headers and names, one for
pixels. So nothing has to fit in memory, and nothing is unpacked.
"""

from minicnn.data.records.base import Record, Records
from minicnn.data.records.folder import FolderRecords
from minicnn.data.records.tar import TarRecords

__all__ = ["FolderRecords", "Record", "Records", "TarRecords"]
