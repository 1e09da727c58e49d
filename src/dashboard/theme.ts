// The look of the components: one typographic scale, one accent, few corners.
import {
  ActionIcon,
  Alert,
  Button,
  Checkbox,
  createTheme,
  Menu,
  PasswordInput,
  TextInput,
} from '@mantine/core';

export const theme = createTheme({
  primaryColor: 'blue',
  respectReducedMotion: true,
  components: {
    // Inside the page's own region, and without a placeholder that is no item.
    Menu: Menu.extend({
      defaultProps: {
        transitionProps: { duration: 0 },
        withinPortal: false,
        withInitialFocusPlaceholder: false,
      },
    }),
    Button: Button.extend({ defaultProps: { size: 'sm' } }),
    ActionIcon: ActionIcon.extend({ defaultProps: { variant: 'subtle', color: 'gray' } }),
    TextInput: TextInput.extend({ defaultProps: { size: 'sm', withAsterisk: false } }),
    PasswordInput: PasswordInput.extend({ defaultProps: { size: 'sm', withAsterisk: false } }),
    Checkbox: Checkbox.extend({ defaultProps: { size: 'sm' } }),
    Alert: Alert.extend({ defaultProps: { variant: 'light' } }),
  },
});
