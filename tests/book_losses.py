"""The losses of the book's training loop, epoch by epoch."""

from d2l_seq2seq.book.seq2seq import train_s2s_ch9


def book_losses(model, data_iter, lr, num_epochs, ctx):
    """Train a model with `train_s2s_ch9`, and return the loss that the book prints, per epoch."""
    losses = []
    train_s2s_ch9(
        model,
        data_iter,
        lr,
        num_epochs,
        ctx,
        on_epoch_end=lambda epoch, loss_sum, num_tokens: losses.append(loss_sum / num_tokens),
    )
    return losses
