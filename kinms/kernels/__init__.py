"""The hot loops: plain arrays in, plain arrays out; no classes, no units, no random state.

Velocities arrive in channels: channel k covers [k, k + 1]. Models are gathered in a block-sparse cube (`kinms.sparse`):
single precision, axes [block, y, x, lane] with eight channels to a block, and for each block and row the range of
columns, the hull, outside of which everything is zero and is never touched.
"""
