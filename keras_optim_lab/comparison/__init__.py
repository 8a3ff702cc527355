"""The same training on TensorFlow, JAX and PyTorch: do they agree, and what does each cost?

`compare_backends` → `Plan` (what is run) → a process for each backend (`recording`, `gradients`)
→ `differences` → `diagnosis` → `Findings`, as data, of which `BackendComparison` writes a page.
"""
