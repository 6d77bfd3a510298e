"""Floor 1, the engine: tensors, the tape, dispatch. It knows no formula."""
