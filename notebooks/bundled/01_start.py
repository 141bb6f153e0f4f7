# %% [markdown]
# # Start here

# %%
import os

os.environ["TRACELAKE_LAKE"]
