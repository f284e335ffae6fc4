"""The tables of plan.pyx for the C side; read-only after import."""

from core_ext.dictionary cimport Seed
from core_ext.events cimport EventsPlan

cdef EventsPlan events_plan
# Of this process's dictionaries; it never shows in a block.
cdef Seed hash_seed
