"""Collaborative encoders: MF, LightGCN, SASRec. `trainer` trains them, `folder` keeps and scores them."""
