//! Executors for WASM and ONNX tasks, the quality ladder, verification.
