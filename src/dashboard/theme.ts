// The look of the components: one typographic scale, one accent, few corners.
import {
  ActionIcon,
  Alert,
  Button,
  Checkbox,
  createTheme,
  Menu,
  Modal,
  PasswordInput,
  TextInput,
} from '@mantine/core';

export const theme = createTheme({
  primaryColor: 'blue',
  respectReducedMotion: true,
  components: {
    // Scroll locking and transitions would need styles inside the page, which the policy forbids.
    Modal: Modal.extend({
      defaultProps: {
        lockScroll: false,
        transitionProps: { duration: 0 },
        centered: true,
        closeButtonProps: { 'aria-label': 'Close' },
      },
    }),
    Menu: Menu.extend({ defaultProps: { transitionProps: { duration: 0 } } }),
    Button: Button.extend({ defaultProps: { size: 'sm' } }),
    ActionIcon: ActionIcon.extend({ defaultProps: { variant: 'subtle', color: 'gray' } }),
    TextInput: TextInput.extend({ defaultProps: { size: 'sm', withAsterisk: false } }),
    PasswordInput: PasswordInput.extend({ defaultProps: { size: 'sm', withAsterisk: false } }),
    Checkbox: Checkbox.extend({ defaultProps: { size: 'sm' } }),
    Alert: Alert.extend({ defaultProps: { variant: 'light' } }),
  },
});
