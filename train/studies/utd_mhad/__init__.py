"""The study of Khaertdinov, Brinzea and Asteriadis: contrastive pretraining on inertial and skeleton data.

Their paper is followed; where it is silent, the code of its successor (Brinzea et al. 2022, arXiv:2205.10071).
"""
