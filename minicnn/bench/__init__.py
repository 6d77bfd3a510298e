"""Floor 5, beside train: measured figures, of kernels and of whole steps, and what they are worth.

=============  ===========================================================================
``kernels``    the ladder: every way to compute one operation, side by side
``processes`` training and inference steps of the five benchmark networks, and of peers
``cases``      which shapes; how many operations and bytes each needs
``ladder``     the ways to compute a case: loops, einsum, reference, compiled kernels
``forecast``   what layers will take, from their work and the roof
``roof``       what this machine's registers, caches and memory give at best
``quiet``      waits for a quiet machine
``judge``      what is refused: figures of a busy machine, and figures above a roof
``steps/``     what runs in processes of its own, in other frameworks' environments too
``report``     tables, Markdown
``plot``       the picture: products under the roofs, bytes a second beside the copies
=============  ===========================================================================
"""
