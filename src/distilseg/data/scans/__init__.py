"""From files of any format to arrays that know where their voxels lie, and back."""
