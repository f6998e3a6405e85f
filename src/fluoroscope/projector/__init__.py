"""Line integrals of volumes and instruments through the cone beam: the projector."""
