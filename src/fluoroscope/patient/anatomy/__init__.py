"""The modelled patient: parameters, morphometry, bones and soft parts as signed distances, and their voxels.

A vertebra's own frame has its origin in the middle of its body, x to the patient's left, y to the back, z to the
head along its axis. The patient's frame (LPS mm) has its origin in the middle of the body of L3 at rest.
"""
