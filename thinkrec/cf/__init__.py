"""Collaborative encoders: MF, LightGCN, SASRec. `trainer` trains them, `folder` saves and loads them."""
