//! Many nodes under one virtual clock, with lossy links and crashable disks.
